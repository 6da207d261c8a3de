"""ksnode fence-password: new passwords of the accounts by which the other node cuts this one off.

The account that this node made in its own BMC gets another password, in-band, by standard input; of
a device with a `password_file` the file's is taken, which people set at the device. The other node
has it before the BMC, and logs in with it, or all is put back; where the other can't be reached
meanwhile nothing more is changed, for it has both, and the same command goes on.
"""

import argparse
import time
from pathlib import Path
from typing import Callable, Optional

from firstboot import latches
from firstboot.engine import Refused
from firstboot.fencing import accounts
from firstboot.fencing.exchange import Passwords, makes_account
from firstboot.fencing.renewal import KEPT, OVER, TAKEN, TOPIC, answer_for, paths
from firstboot.node import FenceDevice, Identity
from firstboot.render import fencedevice
from firstboot.render.fencedevice import keyed
from firstboot.rendezvous.session import NotMet
from firstboot.rendezvous.store import Store, text
from firstboot.steps import Context
from firstboot.verbs.converging import a_context, alone
from firstboot.verbs.waiting import NotYet, outcome, say, until

MOST_S = 180.0  # for each part, multiplied by the pair's timeout_factor
AGAIN = "ksnode fence-password once more"


def fence_password(identity: Identity, root: Path, _: argparse.Namespace) -> int:
    """Say what comes of it."""

    def do() -> None:
        with alone(root):
            renew(a_context(identity, root)[0])

    return outcome(do, AGAIN)


def renew(context: Context, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """One device after the other. Raises Refused, NotYet, CommandError or OSError."""
    identity, root = context.identity, context.root
    if not latches.is_set(root, latches.COMPLETE):
        raise Refused("this node is not complete: its agent makes its passwords", "ksnode status")
    mine = [d for d in fencedevice.devices(identity.pair) if d.target == identity.node]
    passwords = Passwords(identity, root, context.run)
    done = []
    for device, (_, planned) in zip(mine, keyed(identity.me)):
        new = _new(context, passwords, device.secret, planned)
        if new is not None:
            made = makes_account(identity, planned)
            tell = (lambda p, d=planned: passwords.set_account(d, p)) if made else None
            _Renewal(context, device.secret, tell, sleep).go_through(new)
            done.append(device.id)
    if not done:
        raise Refused(
            "there is no new password: this node makes none, and each password_file is as before",
            "set another at the device and in its password_file; then the same again",
        )
    say(f"{identity.peer.name} has logged in with the new password of {', '.join(done)}")


def _new(context: Context, passwords: Passwords, secret: str, device: FenceDevice) -> Optional[str]:
    """The password to be, None where there is none; one that was begun with is gone on with."""
    used, kept = paths(context.root, secret)
    if makes_account(context.identity, device):
        return text(kept) or accounts.new_password()
    if device.password_file is None:
        return None
    given = passwords.read(device.password_file)
    return None if given == text(used) else given


class _Renewal:
    """One device's. `tell` gives the BMC a password, None where people did."""

    def __init__(
        self,
        context: Context,
        secret: str,
        tell: Optional[Callable[[str], None]],
        sleep: Callable[[float], None],
    ) -> None:
        self._context, self._secret, self._tell, self._sleep = context, secret, tell, sleep
        self._used, self._kept = paths(context.root, secret)
        self._store = Store(context.root)
        self._peer = context.identity.peer.name

    def go_through(self, new: str) -> None:
        """As the module says."""
        old = text(self._used)
        self._store.put(self._kept, new)
        self._hand_over(new, KEPT)
        try:
            if self._tell is not None:
                self._tell(new)
            self._hand_over(new, TAKEN)
        except BaseException:
            self._put_back(old)
            raise
        self._store.put(self._used, new)
        self._kept.unlink()

    def _put_back(self, old: str) -> None:
        say("the old password is put back")
        try:
            self._hand_over(old, KEPT)  # from here on it has both, whichever it uses
            if self._tell is not None:
                self._tell(old)
            self._hand_over(old, TAKEN)
        except NotYet:
            say(f"{self._peer} has both passwords and takes the one that opens; next: {AGAIN}")
            return
        self._kept.unlink()

    def _hand_over(self, password: str, state: str) -> None:
        """Until the other node has kept or taken it. Raises NotYet."""
        most_s = MOST_S * self._context.identity.pair.cluster.timeout_factor
        until(lambda: self._missing(password, state), most_s, self._sleep, AGAIN)

    def _missing(self, password: str, state: str) -> "list[str]":
        meeting = self._context.meeting
        asked = {self._secret: password, OVER: state == TAKEN}
        meeting.tell(TOPIC, asked, private=True)
        try:
            meeting.ask()
        except NotMet as why:
            return [str(why)]
        told = meeting.heard(TOPIC, private=True)
        said = told.get(self._secret) if isinstance(told, dict) else None
        good = (TAKEN,) if state == TAKEN else (KEPT, TAKEN)
        if said in [answer_for(each, password) for each in good]:
            return []
        verb = "logged in with" if state == TAKEN else "kept"
        return [f"{self._peer} has not {verb} the password of {self._secret} yet"]
