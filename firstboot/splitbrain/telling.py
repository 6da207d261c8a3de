"""Both halves side by side, for people and as JSON, and what may be typed. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from firstboot import promotion
from firstboot.drbd import Status
from firstboot.journal import SCHEMA
from firstboot.node import Identity
from firstboot.splitbrain.half import Half, to_json
from firstboot.splitbrain.table import NONE, Relation, objection, relation, resync_kib

NOT_KNOWN = "not known"


def command(loser: str, cluster: str) -> str:
    """What a human types so that `loser`'s changes go."""
    return f"ksnode resolve --discard {loser} --cluster {cluster}"


def as_json(mine: Half, theirs: Optional[Half], cluster: str) -> "dict[str, Any]":
    """The same as text(), for programs; the peer's half is null where it told none."""
    both = (mine, theirs) if theirs else None
    return {
        "schema": SCHEMA,
        "node": mine.node,
        "relation": relation(*both).value if both else Relation.UNKNOWN.value,
        "resync_kib_at_most": resync_kib(*both) if both else None,
        "sides": [to_json(mine), to_json(theirs) if theirs else None],
        "choices": [_choice(*pair, cluster) for pair in _choices(mine, theirs)],
    }


def text(mine: Half, theirs: Optional[Half], peer: str, cluster: str) -> str:
    """What is known of each half, how they are related, and what may be typed."""
    lines = _half(mine)
    if theirs is None:
        lines += [f"{peer}: does not tell; type ksnode resolve on it as well"]
        return "\n".join([*lines, f"on {peer}, if it does not answer: systemctl status ksnode"])
    lines += [*_half(theirs), _related(mine, theirs)]
    for losing, keeping in _choices(mine, theirs):
        lines += _offer(losing, keeping, cluster)
    return "\n".join(lines)


def _choices(mine: Half, theirs: Optional[Half]) -> "list[tuple[Half, Half]]":
    """(losing, keeping), where there is something to choose."""
    if theirs is None or relation(mine, theirs) is not Relation.SPLIT:
        return []
    return [(theirs, mine), (mine, theirs)]


def _half(half: Half) -> "list[str]":
    if not half.up:
        return [f"{half.node}: DRBD is not up", f"  last write   {half.last_write or NOT_KNOWN}"]
    guests = NOT_KNOWN if half.guests is None else ", ".join(half.guests) or "none"
    return [
        f"{half.node}: {half.connection}, {half.role}, {half.disk}",
        f"  split brain  {f'found {half.parted}' if half.parted else 'not in the kernel log'}",
        f"  generation   {_generations(half)}",
        f"  last write   {half.last_write or NOT_KNOWN} (by the journals of the file system)",
        f"  difference   {half.written_kib} KiB were written here that the other does not have",
        f"  file system  {'mounted' if half.mounted else 'not mounted'}; guests here: {guests}",
    ]


def _generations(half: Half) -> str:
    if not half.generations:
        return NOT_KNOWN
    before = [word for word in half.generations[1:] if word != NONE]
    return f"{half.generations[0]}, before it {', '.join(before) or 'none'}"


def _related(mine: Half, theirs: Half) -> str:
    found = relation(mine, theirs)
    if found is Relation.SPLIT:
        most = resync_kib(mine, theirs)
        size = "everything" if most is None else f"at most {most} KiB"
        return f"both were written to since they parted; a resync copies {size}"
    if found is Relation.UNKNOWN:
        return "how the two are related is not known"
    return f"{mine.node}'s data, against {theirs.node}'s: {found.value}; nothing to choose here"


def _offer(losing: Half, keeping: Half, cluster: str) -> "list[str]":
    head = (
        f"to keep {keeping.node}'s, and lose for ever the {losing.written_kib} KiB"
        f" written on {losing.node}:"
    )
    lines = [head]
    if refusal := objection(losing, keeping):
        lines += [f"  not yet: {refusal.evidence}", f"  next: {refusal.way_out}"]
    where = f"on {losing.node}, then on {keeping.node}"
    return [*lines, f"  {where}: {command(losing.node, cluster)}"]


def _choice(losing: Half, keeping: Half, cluster: str) -> "dict[str, Any]":
    refusal = objection(losing, keeping)
    return {
        "discard": losing.node,
        "command": command(losing.node, cluster),
        "type_on": [losing.node, keeping.node],
        "refused": refusal.evidence if refusal else "",
        "next": refusal.way_out if refusal else "",
    }


def reasons(
    identity: Identity,
    status: Optional[Status],
    parted: str,
    begun: "Mapping[str, Any]",
    bans: "Sequence[str]" = (),
) -> "list[dict[str, str]]":
    """For `ksnode why`: `begun` is what was typed here and is not done, `parted` as in a Half.

    `bans` keep DRBD unpromoted here; while a resync runs that is as it should be.
    """
    peer, found = identity.peer.name, []
    if status is not None and (status.stands_alone or parted):
        what = "both nodes were written to apart" if parted else "what it found: dmesg | grep drbd"
        seen = f"DRBD does not connect to {peer}: {what} ({status})"
        event = "split brain" if parted else "stands alone"
        found.append(_reason(event, parted or NOT_KNOWN, seen, "ksnode resolve"))
    if begun:
        loser = str(begun.get("discard"))
        again = f"once more: {command(loser, identity.pair.name)}"
        seen = f"the changes of {loser} were to go, and that has not ended"
        found.append(_reason("not resolved", str(begun.get("at", NOT_KNOWN)), seen, again))
    if bans and not found and status is not None and (status.in_sync or not status.connected):
        seen = f"pacemaker may not promote DRBD here, by {' and '.join(bans)} ({status})"
        clear = promotion.way_out(identity.node) if status.in_sync else "ksnode resolve"
        found.append(_reason("barred", NOT_KNOWN, seen, clear))
    return found


def _reason(event: str, since: str, seen: str, way_out: str) -> "dict[str, str]":
    return {
        "step": "replication",
        "event": event,
        "since": since,
        "seen": seen,
        "next": way_out,
    }
