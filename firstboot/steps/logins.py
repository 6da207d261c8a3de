"""Who may log in by SSH keys: each account's authorized_keys, of which only the plan's are ours.

The installer writes them first (kickstart, `sshkey`), so this step is no part of the sequence: it
is for `ksnode apply` alone, which knows the plan of before.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from firstboot import files
from firstboot.engine import Refused, Step
from firstboot.node import Account
from firstboot.steps import Context

FOLDER, NAME = ".ssh", "authorized_keys"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class Home:
    """An account of /etc/passwd."""

    owner: tuple[int, int]
    folder: Path


class Logins(Step):
    """Adds the keys that are planned, and takes away those that only the other plan had."""

    name = "logins"

    def __init__(self, context: Context, other: Sequence[Account]) -> None:
        self._context = context
        self._wanted = {
            account.name: account.ssh_keys for account in context.identity.pair.accounts
        }
        self._gone = {
            account.name: tuple(
                key for key in account.ssh_keys if key not in self._wanted.get(account.name, ())
            )
            for account in other
        }

    def check(self) -> Sequence[str]:
        """The accounts whose keys differ. Raises Refused where an account is not there."""
        missing = []
        for name in {**self._wanted, **self._gone}:
            text = self._read(name)
            if text is not None and self._changed(name, text) != text:
                missing.append(f"the keys of {name} are not as planned")
        return missing

    def apply(self) -> None:
        """Write them, each file old or new at any moment; other keys in it stay."""
        for name in {**self._wanted, **self._gone}:
            text, home = self._read(name), self._home(name)
            if text is None or home is None or self._changed(name, text) == text:
                continue
            with _opened(home.folder) as folder:
                files.make_folder_in(folder, FOLDER, home.owner)
                with _opened(FOLDER, within=folder) as ssh:
                    files.replace_in(
                        ssh,
                        NAME,
                        self._changed(name, text).encode("utf-8", "surrogateescape"),
                        home.owner,
                    )
            files.relabel([home.folder / FOLDER, home.folder / FOLDER / NAME])

    def _changed(self, name: str, text: str) -> str:
        return changed(text, self._gone.get(name, ()), self._wanted.get(name, ()))

    def _read(self, name: str) -> Optional[str]:
        """What is in the file, "" where there is none; None: nothing to do, there is no account."""
        home = self._home(name)
        if home is None:
            if not self._wanted.get(name):
                return None
            raise Refused(f"there is no account {name}", f"useradd {name}, then the same again")
        try:
            with _opened(home.folder) as folder, _opened(FOLDER, within=folder) as ssh:
                handle = os.open(NAME, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=ssh)
                with os.fdopen(handle, encoding="utf-8", errors="surrogateescape") as file:
                    return file.read()
        except FileNotFoundError:
            return ""
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            where = f"{home.folder}/{FOLDER}/{NAME}"
            raise Refused(
                f"{where} lies behind a link, which {name} may lead anywhere",
                f"ls -la {home.folder} {home.folder}/{FOLDER}; make it a folder with a file again",
            ) from None

    def _home(self, name: str) -> Optional[Home]:
        root = self._context.root
        for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                _, _, uid, gid, _, folder = line.split(":")[:6]
                return Home((int(uid), int(gid)), root / folder.lstrip("/"))
        return None


def changed(text: str, gone: Sequence[str], wanted: Sequence[str]) -> str:
    """authorized_keys without keys of `gone`, whatever their options, and with all of `wanted`."""
    lost = {_key(line) for line in gone} - {_key(line) for line in wanted}
    lines = text.split("\n")
    kept = [line for line in lines if not _key(line) or _key(line) not in lost]
    known = {_key(line) for line in kept}
    new = [line for line in wanted if _key(line) not in known]
    if kept == lines and not new:
        return text
    return "\n".join([*"\n".join(kept).rstrip("\n").split("\n"), *new, ""]).lstrip("\n")


def _key(line: str) -> str:
    """The key's own words in a line of authorized_keys (sshd(8)), "" of a comment."""
    words = [] if line.startswith("#") else line.split()
    return next((word for word in words if word.startswith("AAAA")), "")


@contextmanager
def _opened(path: "Path | str", within: Optional[int] = None) -> Iterator[int]:
    handle = os.open(path, _OPEN, dir_fd=within)
    try:
        yield handle
    finally:
        os.close(handle)
