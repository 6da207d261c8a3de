"""Each node proves that it can cut the other's power, before anything runs that needs it.

The first node fires first, the second when it heard that the first is done; a node is ready to be
cut off exactly while it is not its turn. So never both fire, and never at a node at work.
"""

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from typing import Any, Callable, Optional

from firstboot import latches
from firstboot.engine import Refused, Step
from firstboot.fencing import afterwards, aim, inherited, record, rehearsal
from firstboot.fencing.exchange import Passwords
from firstboot.fencing.inherited import TOPIC
from firstboot.fencing.power import Power
from firstboot.fencing.rehearsal import IDLE, INTENT, OFF, OFF_SEEN, UNASKED, Record, Seen
from firstboot.fencing.renewal import NEXT
from firstboot.files import SECRETS
from firstboot.journal import STATE
from firstboot.node import RESOURCE
from firstboot.rendezvous import credentials
from firstboot.rendezvous.session import NotMet, State
from firstboot.steps import Context
from firstboot.steps.meet import wait_for_peer

GONE_S = 15.0  # an agent whose machine is off answers nothing; its last answer may be on the way
LOOK_AGAIN_S = 30.0  # at the peer's BMCs: somebody may put right how they are wired
BUSY_UNITS = ("corosync.service", "pacemaker.service")
DRBD = "sys/block/drbd0"
INACTIVE, UNKNOWN = 3, 4  # what systemctl is-active answers when none of them is


class Fencing(Step):
    """Accounts, identity, and one real power cut in each direction."""

    name = "fencing"
    barrier = True

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep
        self._root = context.root
        self._peer = context.identity.peer.name
        self._passwords = Passwords(context.identity, context.root, context.run)
        self._ready_once = False
        self._guids: list[str] = []
        self._looked_at = 0.0

    def check(self) -> Sequence[str]:
        """Whether both nodes have proven it; tells the peer how far this one is."""
        self._tell()
        if latches.is_set(self._root, latches.COMPLETE):
            return ()
        me, missing = self._context.identity.node, []
        if not self._proven():
            missing.append(f"{me} has not cut {self._peer}'s power yet")
        if not self._peer_proven():
            missing.append(f"{self._peer} has not said that it cut {me}'s power")
        return missing

    def remark(self) -> str:
        """When it was proven, and by what; whether a password's renewal was begun and not ended."""
        begun = (self._root / SECRETS).glob(f"fence-{self._context.identity.node}-*{NEXT}")
        more = "; a new password waits: ksnode fence-password" if any(begun) else ""
        try:
            told = json.loads((self._root / STATE / latches.FENCING_PROVEN).read_text())
            return f"proven {told['at']} by {told['by']}{more}"
        except (OSError, ValueError, KeyError, TypeError):
            return more.lstrip("; ")

    def apply(self) -> None:
        """Exchange the accounts, then rehearse, until both directions are proven."""
        self.prepare()
        wait_for_peer(self._context, self.name, self.advance, sleep=self._sleep)

    def prepare(self) -> None:
        """What this node does alone: its own accounts. Raises Refused or CommandError."""
        aim.check_profile(self._context.identity)
        if not self._proven():
            self._check_nothing_runs()
        self._passwords.provide()

    def advance(self) -> bool:
        """Do what can be done now; True once both directions are proven. Raises Refused."""
        if self._open():
            self._rehearse()  # the peer may be off by our hand, so it can't be asked first
        elif self._inherits():
            self._take_over()
        elif not self._alike():
            self._passwords.take(self._told())
        elif not self._ready_once or time.monotonic() - self._looked_at >= LOOK_AGAIN_S:
            self._look()
        elif self._my_turn():
            self._rehearse()
        self._tell()
        return self._proven() and self._peer_proven()

    def _look(self) -> None:
        """What the peer's devices say of themselves, for both nodes' aim."""
        powers = self._powers()
        aim.check_logins(self._context.identity, powers)
        self._guids = powers[0].guids()
        self._looked_at = time.monotonic()
        if not self._ready_once:
            os.sync()  # from here on this node may lose its power
            self._ready_once = True

    def _inherits(self) -> bool:
        """Whether this node comes back to one that is through here: nobody is cut off then."""
        back = credentials.holds_ticket(self._root) and not self._proven()
        return back and self._context.meeting.peer_reached(self.name)

    def _take_over(self) -> None:
        told = self._told()
        if not self._alike() and told.get("stored"):
            raise Refused(
                f"{self._peer} knows other passwords of the fence devices",
                f"compare password_file on this node with /{SECRETS}/fence-* on {self._peer}",
            )
        if self._alike():
            self._guids = self._powers()[0].guids()
            inherited.take_over(self._context, told, self._guids)

    def _rehearse(self) -> None:
        self._tell()  # it is our turn, so we are not ready from here on
        peer, done = self._ask(), record.load(self._root)
        power = self._powers()[0]
        seen = Seen(
            answers=peer is not None,
            boot_id=peer.boot_id if peer else "",
            ready=self._told().get("ready") is True,
            power=power.state() if done.phase else UNASKED,
        )
        todo = rehearsal.decide(done, seen)
        if isinstance(todo, rehearsal.Stop):
            if done.stopped != todo.evidence:  # what the peer's power does later proves nothing
                record.save(self._root, dataclasses.replace(done, stopped=todo.evidence))
            way_out = f"look at the profile's fencing, then: ksnode rehearse {self._peer}"
            raise Refused(todo.evidence, way_out)
        if isinstance(todo, rehearsal.Wait):
            self._context.report(self.name, "waiting", f"{self._peer}: {todo.why}")
        elif isinstance(todo, rehearsal.SwitchOn):
            power.on()
        elif isinstance(todo, rehearsal.GiveUp):
            power.on()  # of two feeds one may have been cut
            record.save(self._root, dataclasses.replace(done, phase=IDLE))
        elif isinstance(todo, rehearsal.Proven):
            self._prove(done, todo.boot_id)
        elif isinstance(todo, rehearsal.Fire):
            self._fire(done, todo.boot_id)

    def _fire(self, done: Record, boot_id: str) -> None:
        """Intent, off, both signs of death, on; each on disk before the next."""
        identity, powers = self._context.identity, self._powers()
        power = powers[0]
        aim.check_target(identity, self._root, self._told(), powers, self._guids)
        efi = (self._root / "sys/firmware/efi").is_dir()
        remark = "" if power.boot_from_disk(efi=efi) else "; its next boot can't be chosen"
        done = Record(done.firings + 1, INTENT, boot_id, power.name, at=_now())
        record.save(self._root, done)
        count = f"{done.firings} of at most {rehearsal.MOST_FIRINGS}"
        what = f"cutting {self._peer}'s power by {power.name}, {count}{remark}"
        self._context.report(self.name, "waiting", what)
        power.off()
        is_off = power.state() == OFF
        if is_off and self._silent():
            record.save(self._root, dataclasses.replace(done, phase=OFF_SEEN))
        elif is_off:
            evidence = f"{power.name} says off, but {self._peer} goes on answering"
            record.save(self._root, dataclasses.replace(done, stopped=evidence))
        power.on()

    def _silent(self) -> bool:
        """Whether the session died: the peer's agent no longer answers."""
        deadline = time.monotonic() + GONE_S
        while self._ask() is not None:
            if time.monotonic() >= deadline:
                return False
            self._sleep(1.0)
        return True

    def _prove(self, done: Record, boot_id: str) -> None:
        result = {
            "at": _now(),
            "boots": [done.peer_boot, boot_id],
            "by": done.device,
            "firings": done.firings,
            "guids": sorted(self._guids or self._powers()[0].guids()),
            "peer": self._peer,
        }
        text = json.dumps(result, sort_keys=True) + "\n"
        latches.set_once(self._root, latches.FENCING_PROVEN, text)

    def _check_nothing_runs(self) -> None:
        """Raises Refused while a cluster or DRBD runs on this node, which is to lose its power."""
        asked = ["systemctl", "is-active", *BUSY_UNITS]
        if self._context.run(asked, ok=(0, INACTIVE, UNKNOWN)).returncode == 0:
            raise Refused(
                "the cluster runs on this node, and fencing is not proven yet",
                f"systemctl stop {' '.join(reversed(BUSY_UNITS))}",
            )
        if (self._root / DRBD).exists():
            raise Refused(
                "DRBD runs on this node, and fencing is not proven yet", f"drbdadm down {RESOURCE}"
            )

    def _powers(self) -> list[Power]:
        return afterwards.powers(self._context)

    def _ask(self) -> Optional[State]:
        try:
            return self._context.meeting.ask()
        except NotMet:
            return None

    def _open(self) -> bool:
        return afterwards.open_firing(self._context)

    def _my_turn(self) -> bool:
        return not self._proven() and (self._context.identity.first or self._peer_proven())

    def _proven(self) -> bool:
        return latches.is_set(self._root, latches.FENCING_PROVEN)

    def _peer_proven(self) -> bool:
        return self._told().get("proven") is True

    def _alike(self) -> bool:
        """Whether both nodes have all passwords, and the same."""
        mine = self._passwords.digest()
        return bool(mine) and self._told().get("stored") == mine

    def _told(self) -> dict[str, Any]:
        told = self._context.meeting.heard(TOPIC, private=True)
        return told if isinstance(told, dict) else {}

    def _tell(self) -> None:
        ready = self._ready_once and not self._my_turn() and not self._open()
        told = {
            "aims": self._guids,
            "inherits": self._inherits(),
            "passwords": {} if self._alike() else self._passwords.mine(),
            "proven": self._proven(),
            "ready": ready,
            "stored": self._passwords.digest(),
            "uuid": aim.own_uuid(self._root),
        }
        self._context.meeting.tell(TOPIC, told, private=True)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
