"""Passwords of the fence devices: made or read by the node they cut off, stored on both."""

import hashlib
from pathlib import Path
from typing import Any, Optional

from firstboot import files
from firstboot.commands import Run
from firstboot.engine import Refused
from firstboot.fencing import accounts, lan
from firstboot.node import FenceDevice, Identity
from firstboot.render.fencedevice import keyed
from firstboot.rendezvous.store import PASSWORD, Store, text

IPMI = Path("dev/ipmi0")
BMCS = ("ipmilan", "ilo4", "ilo5")


class Passwords:
    """The secrets fence-NODE-DEVICE of both nodes, on this one's disk."""

    def __init__(self, identity: Identity, root: Path, run: Run) -> None:
        self._identity = identity
        self._root = root
        self._run = run
        self._store = Store(root)

    def provide(self) -> None:
        """Bring about this node's own. Raises Refused with the way out, or CommandError."""
        for key, device in keyed(self._identity.me):
            if device.set_address is not None:
                self._reach_bmc()
                self._set_address(device.set_address, device.set_gateway)
            if makes_account(self._identity, device):
                self._make(key, device)
            elif device.password_file is not None:
                self._put(self._identity.node, key, self.read(device.password_file))
            elif device.agent == "custom":
                self._put(self._identity.node, key, "")
            else:
                raise Refused(
                    f"{device.agent} at {device.address} needs a password, and none can be made",
                    "give password_file in the profile, and the file on the node",
                )

    def take(self, told: Any) -> None:
        """Store the peer's, as far as it told passwords that can be some."""
        peer = self._identity.peer
        given = told.get("passwords") if isinstance(told, dict) else None
        for key, _ in keyed(peer):
            value = given.get(key) if isinstance(given, dict) else None
            if isinstance(value, str) and PASSWORD.fullmatch(value):
                self._put(peer.name, key, value)

    def mine(self) -> dict[str, str]:
        """This node's own, by device, for the peer alone."""
        name = self._identity.node
        return {key: text(self._path(name, key)) for key, _ in keyed(self._identity.me)}

    def digest(self) -> str:
        """sha256 over all of both nodes' passwords; "" while one is missing here."""
        seen = hashlib.sha256()
        for node in self._identity.pair.nodes:
            for key, _ in keyed(node):
                path = self._path(node.name, key)
                if not path.exists():
                    return ""
                seen.update(f"{path.name}={text(path)}\n".encode())
        return seen.hexdigest()

    def _reach_bmc(self) -> None:
        """Raises Refused when the kernel sees no BMC."""
        if not (self._root / IPMI).exists():
            self._run(["modprobe", "-a", "ipmi_si", "ipmi_devintf"], ok=(0, 1))
        if not (self._root / IPMI).exists():
            raise Refused(
                f"there is no /{IPMI}: this node can't talk to its own BMC",
                "switch on IPMI over KCS in the BMC, or do without: password_file, no set_address",
            )

    def _set_address(self, address: str, gateway: Optional[str]) -> None:
        try:
            lan.set_address(self._run, address, gateway)
        except lan.Unwilling as error:
            raise Refused(
                f"this node's BMC does not take its address: {error}",
                "set it in the BMC's own menu, and leave set_address out of the profile",
            ) from None

    def _make(self, key: str, device: FenceDevice) -> None:
        """The password is kept before the BMC knows it, and set again until both nodes have it."""
        path = self._path(self._identity.node, key)
        if not path.exists():
            self._store.put(path, accounts.new_password())
        self.set_account(device, text(path))

    def set_account(self, device: FenceDevice, password: str) -> None:
        """Make the account in this node's BMC, or give it that password. Raises as provide()."""
        self._reach_bmc()
        try:
            accounts.make(self._run, device.user, password)
        except lan.Unwilling as error:
            raise Refused(
                f"no fence account can be made in this node's BMC: {error}",
                "free an account there, or give password_file in the profile",
            ) from None

    def read(self, name: str) -> str:
        """What a password_file holds. Raises Refused."""
        path = self._root / name.lstrip("/")
        try:
            if path.stat().st_mode & 0o077:
                raise Refused(f"{name} can be read by others", f"chmod 600 {name}")
            lines = path.read_text(encoding="ascii").splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            lines = []
        if not lines or not lines[0] or not PASSWORD.fullmatch(lines[0]):
            raise Refused(
                f"{name} does not hold a password of 1 to 64 printable characters",
                f"put the fence account's password there, then: chmod 600 {name}",
            )
        return lines[0]

    def _put(self, node: str, key: str, value: str) -> None:
        path = self._path(node, key)
        if not path.exists() or text(path) != value:
            self._store.put(path, value)

    def _path(self, node: str, key: str) -> Path:
        return self._root / files.SECRETS / f"fence-{node}-{key}"


def makes_account(identity: Identity, device: FenceDevice) -> bool:
    """Whether the node whose power it is makes the account itself, in-band.

    Redfish has no such way of its own here: it is IPMI's account, which many BMCs let in there too.
    """
    known = device.agent in (*BMCS, "redfish") and device.password_file is None
    return known and identity.pair.has("inband-ipmi")


def marked(identity: Identity, device: FenceDevice) -> bool:
    """Whether logging in over IPMI shows that it is the BMC in which that account was made."""
    return device.agent in BMCS and makes_account(identity, device)
