"""One direction of the rehearsal, as a decision over what is on record and what is seen. Pure.

The record is on disk before the deed; whatever is cut short, the decision starts from the record.
"""

from dataclasses import dataclass

MOST_FIRINGS = 2
IDLE, INTENT, OFF_SEEN = "", "intent", "off-seen"
ON, OFF, UNASKED = "on", "off", ""


@dataclass(frozen=True)
class Record:
    """What this node did to its peer's power so far.

    `phase`: INTENT from before the power is cut, OFF_SEEN once the device said off and the session
    was dead. `peer_boot` is the boot that was cut, `device` what it was cut by, `at` when (UTC).
    `stopped` is the evidence after which only a human lets it fire again.
    """

    firings: int = 0
    phase: str = IDLE
    peer_boot: str = ""
    device: str = ""
    stopped: str = ""
    at: str = ""


@dataclass(frozen=True)
class Seen:
    """The peer as it was asked just now: whether it answered, its boot, whether it is ready to be
    cut off, and its power (only asked for while something is on record).
    """

    answers: bool
    boot_id: str = ""
    ready: bool = False
    power: str = UNASKED


@dataclass(frozen=True)
class Wait:
    """Nothing can be done now; `why` is for people."""

    why: str


@dataclass(frozen=True)
class Fire:
    """Cut the power of the peer in this boot."""

    boot_id: str


class SwitchOn:
    """The peer is off since we cut it: switch it on."""


class GiveUp:
    """The last firing proved nothing and the peer is up: forget its intent."""


@dataclass(frozen=True)
class Proven:
    """The peer is back in this boot."""

    boot_id: str


@dataclass(frozen=True)
class Stop:
    """A human must look; `evidence` says at what."""

    evidence: str


def decide(record: Record, seen: Seen) -> object:
    """What to do next: a Wait, Fire, SwitchOn, GiveUp, Proven or Stop.

    An intent without an observed off proves nothing, whatever happened to the peer meanwhile.
    """
    if record.phase != IDLE and seen.power == OFF:
        return SwitchOn()
    if record.stopped:
        return Stop(record.stopped)
    if record.phase != IDLE and not seen.answers:
        return Wait("it is switched on; waiting for it to come back")
    if record.phase == OFF_SEEN:
        if seen.boot_id == record.peer_boot:
            return Stop(
                f"{record.device} said off, but the peer never stopped: it is not its power"
            )
        return Proven(seen.boot_id)
    if record.phase == INTENT:
        return GiveUp()
    if record.firings >= MOST_FIRINGS:
        return Stop(f"fired {record.firings} times by {record.device}, never saw the peer go off")
    if not seen.answers or not seen.ready:
        return Wait("until it is ready to be cut off")
    return Fire(seen.boot_id)
