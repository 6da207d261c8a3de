"""What lets pacemaker's alert agent tell: two secrets of root's, copied for hacluster alone.

A webhook's address stands in a file that people put on the node (`webhook_file`, as password_file
does for a fence device), so that no profile, plan or medium has it; the progress page's token came
with the installation. Neither may be read by group haclient, which people join to look at the
cluster. Without an account hacluster no pacemaker is installed, and nothing is done.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, Optional

from firstboot import files, progress
from firstboot.node import Identity
from firstboot.render.alerts import AGENT

USER = "hacluster"
SECRET = Path("etc/ksbuild/alerts.secret")
MEMORY = Path("var/lib/pacemaker/ksbuild-alerts.json")  # what was told when, hacluster's own
SEARCHABLE = 0o055
URL = re.compile(r"https?://[^\s\"'\\@]+")


def missing(identity: Identity, root: Path) -> list[str]:
    """What hacluster can't run, read or write yet. Reads only."""
    owner = _owner(root)
    if owner is None:
        return []
    found = [f"/{SECRET} is not as it should be"] if _differs(identity, root, owner) else []
    if not _belongs(root / MEMORY, owner):
        found.append(f"/{MEMORY} is not {USER}'s")
    closed = [folder for folder in _folders(root) if _closed(folder)]
    return [*found, *(f"{folder} is closed to {USER}" for folder in closed)]


def provide(identity: Identity, root: Path) -> None:
    """Bring it about."""
    owner = _owner(root)
    if owner is None:
        return
    for folder in _folders(root):
        if _closed(folder):
            folder.chmod(folder.stat().st_mode & 0o7777 | SEARCHABLE)
    if _differs(identity, root, owner):
        _put(root / SECRET, _secret(identity, root), owner)
    if not _belongs(root / MEMORY, owner):
        files.make_folder((root / MEMORY).parent)
        _put(root / MEMORY, "", owner)


def webhook(identity: Identity, root: Path) -> "tuple[Optional[str], str]":
    """The webhook's address, and why there is none where one is named. Reads only."""
    name = identity.pair.alerts.webhook_file
    if name is None:
        return None, ""
    path = root / name.lstrip("/")
    try:
        closed = not path.stat().st_mode & 0o077
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None, f"{name} can't be read, so no webhook is told; put its URL there, 0600"
    if not closed:
        return None, f"{name} can be read by others, so no webhook is told; chmod 600 {name}"
    if not lines or not URL.fullmatch(lines[0]):
        return None, f"{name} does not begin with a URL, so no webhook is told"
    return lines[0], ""


def _secret(identity: Identity, root: Path) -> str:
    url, _ = webhook(identity, root)
    return json.dumps({"progress": page(root), "webhook": url}, sort_keys=True) + "\n"


def page(root: Path) -> "Optional[dict[str, Any]]":
    """The progress page's server: url, token, certificate (PEM or None). Reads only."""
    try:
        said = json.loads((root / progress.CONFIGURATION).read_text(encoding="ascii"))
        at: dict[str, Any] = {"url": str(said["url"]), "token": str(said["token"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    pinned = root / progress.CERTIFICATE
    at["certificate"] = pinned.read_text(encoding="ascii") if pinned.exists() else None
    return at


def _owner(root: Path) -> "Optional[tuple[int, int]]":
    try:
        lines = (root / "etc/passwd").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        if line.startswith(f"{USER}:"):
            return int(line.split(":")[2]), int(line.split(":")[3])
    return None


def _differs(identity: Identity, root: Path, owner: "tuple[int, int]") -> bool:
    if not _belongs(root / SECRET, owner):
        return True
    return (root / SECRET).read_text(encoding="utf-8") != _secret(identity, root)


def _belongs(path: Path, owner: "tuple[int, int]") -> bool:
    try:
        seen = path.lstat()
    except FileNotFoundError:
        return False
    return (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777) == (*owner, 0o600)


def _put(path: Path, text: str, owner: "tuple[int, int]") -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        files.replace_in(folder, path.name, text.encode(), owner)
    finally:
        os.close(folder)
    files.relabel([path])


def _folders(root: Path) -> list[Path]:
    """Those that are ours, and that an agent with UMask=0077 made."""
    folder = root / AGENT.parent.relative_to("/")
    return [each for each in (folder.parent, folder, (root / SECRET).parent) if each.is_dir()]


def _closed(folder: Path) -> bool:
    return folder.stat().st_mode & SEARCHABLE != SEARCHABLE
