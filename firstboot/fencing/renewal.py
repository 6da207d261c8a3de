"""A new password of a fence device on a pair that lives, on the node that uses it: the other one.

What it is handed (verbs/fencepassword.py) it keeps beside the password in use, before the BMC is
told. Until it hears that this is over it has both, and whenever it is asked, and each time its
agent looks, the one that opens the device is the one in use: so whatever becomes of the node whose
BMC it is, the other can cut it off. The one in use is tried first, as a BMC may lock an account
that fails. pacemaker's fence device runs a script that prints the file, so nothing of the cluster
changes.
"""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from firstboot import files, latches
from firstboot.commands import CommandError
from firstboot.fencing.power import Power
from firstboot.render import fencedevice
from firstboot.render.fencedevice import Device
from firstboot.rendezvous.credentials import PAIR
from firstboot.rendezvous.store import PASSWORD, Store, text
from firstboot.steps import Context

TOPIC = "renewal"  # private
NEXT = ".next"
OVER = "over"  # beside the passwords: once it is in use the other may go
KEPT, TAKEN = "kept", "taken"


def paths(root: Path, secret: str) -> "tuple[Path, Path]":
    """Where the password in use lies, and the one that is to take its place."""
    return root / files.SECRETS / secret, root / files.SECRETS / f"{secret}{NEXT}"


def answer_for(state: str, password: str) -> str:
    """What is told of it: what became of just this one."""
    return f"{state} {hashlib.sha256(password.encode()).hexdigest()}"


class Taker:
    """Keeps, tries and takes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = Store(context.root)
        self._writing, self._trying = threading.Lock(), threading.Lock()
        peer = context.identity.peer.name
        devices = fencedevice.devices(context.identity.pair)
        self._devices = [device for device in devices if device.target == peer]

    def answer(self, kind: str, told: dict[str, Any]) -> dict[str, Any]:
        """By topic what to add to the answer to a peer that told this in a session of that kind."""
        asked, complete = told.get(TOPIC), latches.is_set(self._context.root, latches.COMPLETE)
        if kind != PAIR or not complete or not isinstance(asked, dict):
            return {}
        found = {}
        for device in self._devices:
            value = asked.get(device.secret)
            if isinstance(value, str) and PASSWORD.fullmatch(value):
                state = self._keep(device, value, over=asked.get(OVER) is True)
                found[device.secret] = answer_for(state, value)
        self.look()
        return {TOPIC: found}

    def look(self) -> None:
        """Try what is kept, in the background: a BMC may take minutes to say no."""
        if any(self._kept(device) for device in self._devices):
            threading.Thread(target=self.take, daemon=True).start()

    def take(self) -> None:
        """Have in use whichever opens each device; where neither does, both stay as they are."""
        if not self._trying.acquire(blocking=False):
            return
        try:
            for device in self._devices:
                value = self._kept(device)
                kept = replace(device, secret=f"{device.secret}{NEXT}")
                if value and not self._opens(device) and self._opens(kept):
                    self._exchange(device, value)
        finally:
            self._trying.release()

    def _kept(self, device: Device) -> str:
        return text(paths(self._context.root, device.secret)[1])

    def _keep(self, device: Device, value: str, *, over: bool) -> str:
        used, kept = paths(self._context.root, device.secret)
        with self._writing:
            if text(used) == value:
                if over:
                    kept.unlink(missing_ok=True)
                return TAKEN
            if text(kept) != value:
                self._store.put(kept, value)
            return KEPT

    def _opens(self, device: Device) -> bool:
        try:
            Power(self._context.root, self._context.run, [device]).state()
        except (CommandError, OSError):
            return False
        return True

    def _exchange(self, device: Device, value: str) -> None:
        used, kept = paths(self._context.root, device.secret)
        with self._writing:
            if text(kept) == value:  # and was not taken back meanwhile
                before = text(used)
                self._store.put(used, value)
                self._store.put(kept, before)
