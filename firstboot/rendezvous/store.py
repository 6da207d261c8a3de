"""The pair's long-term secrets on this node's disk: 0600 files, each old or new, never half."""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Optional

from firstboot import files
from firstboot.rendezvous.credentials import FOLDERS, PAIR

# What both nodes have alike. 256 random bytes in base64, and 24 in hexadecimal digits:
# corosync.conf(5) wants 128 to 4096 bytes, DRBD's shared-secret (drbd.conf(5)) has room for 64
# characters. With the CA's key either node can let the other one come back.
CA_KEY = "ca.key"
SHARED = {
    "authkey": re.compile(r"[A-Za-z0-9+/]{342}=="),
    "drbd": re.compile(r"[0-9a-f]{48}"),
    CA_KEY: re.compile(
        r"-----BEGIN PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{40,1000}-----END PRIVATE KEY-----\n"
    ),
}
PASSWORD = re.compile(r"[\x20-\x7e]{0,64}")  # of a fence device
_HOST_KEY = re.compile(r"(ssh|ecdsa)-[a-z0-9-]{1,40} [A-Za-z0-9+/]{20,2000}={0,2}")
MOST_HOST_KEYS = 8


class Store:
    """Where each file lies, and how it is put there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.folder = root / FOLDERS[PAIR]
        self.ca_key, self.ca = self.folder / CA_KEY, self.folder / "ca.crt"
        self.key, self.leaf = self.folder / "node.key", self.folder / "node.crt"
        self.guests_key, self.guests_leaf = self.folder / "guests.key", self.folder / "guests.crt"
        self.peer_host_keys = self.folder / "peer-ssh-host-keys"

    def secret(self, name: str) -> Path:
        """The file of a secret, as files.py looks for it; the CA's key lies with the CA."""
        return self.ca_key if name == CA_KEY else self._root / files.SECRETS / name

    def put(self, target: Path, text: str) -> None:
        """Store it durably, readable by root alone."""
        files.make_folder(target.parent)
        target.parent.chmod(0o700)
        files.replace(target, text.encode("ascii"), 0o600)

    def drop_leaf(self) -> None:
        """Take our leaf away before anything it depends on, or was stored before, is replaced."""
        if self.leaf.exists():
            self.leaf.unlink()
            files.sync_folder(self.folder)

    def missing(self) -> list[str]:
        """Names of the files this node lacks."""
        leaves = [self.key, self.leaf, self.guests_key, self.guests_leaf]
        wanted = [self.ca, *leaves, self.peer_host_keys, *map(self.secret, SHARED)]
        return [str(path) for path in wanted if not path.exists()]

    def digest(self) -> str:
        """sha256 over what both nodes must have alike; "" while anything is missing here."""
        if self.missing():
            return ""
        alike = [self.ca, *map(self.secret, sorted(SHARED))]
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in alike)).hexdigest()


def text(path: Path) -> str:
    """What the file says, "" when there is none."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def host_keys(root: Path) -> list[str]:
    """This node's SSH host public keys, kind and key without the comment."""
    found = sorted((root / "etc/ssh").glob("ssh_host_*_key.pub"))
    lines = [path.read_text(encoding="utf-8", errors="replace") for path in found]
    return [" ".join(line.split()[:2]) for line in lines][:MOST_HOST_KEYS]


def valid_shared(told: Any) -> Optional[dict[str, str]]:
    """The shared secrets in what the peer told; None when they are not (all) there."""
    if not isinstance(told, dict):
        return None
    found = {name: told.get(name) for name in SHARED}
    for name, pattern in SHARED.items():
        value = found[name]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            return None
    return found  # type: ignore[return-value]  # each was seen to be a text


def valid_fence(told: Any, names: Collection[str]) -> dict[str, str]:
    """The passwords of those fence devices in what the peer told, as far as they can be some."""
    given = told.get("fence") if isinstance(told, dict) else None
    found = given if isinstance(given, dict) else {}
    return {
        name: found[name]
        for name in names
        if isinstance(found.get(name), str) and PASSWORD.fullmatch(found[name])
    }


def valid_host_keys(told: Any) -> Optional[str]:
    """The peer's host keys, one a line; None when it told none, or not such."""
    keys = told.get("host_keys") if isinstance(told, dict) else None
    if not isinstance(keys, list) or len(keys) > MOST_HOST_KEYS:
        return None
    if not all(isinstance(key, str) and _HOST_KEY.fullmatch(key) for key in keys):
        return None
    return "".join(f"{key}\n" for key in keys)
