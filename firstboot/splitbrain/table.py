"""Is it a split brain, and may this half be given up now? Pure.

Relations follow drbd_uuid_compare() of drbd 8.4 (drbd_receiver.c), which 9 refines and keeps; the
order of the commands is that of LINBIT's "Manual split brain recovery" (UG8.4 and UG9).
"""

import enum
from typing import Optional

from firstboot.drbd import CONSISTENT, INCONSISTENT, OUTDATED, PRIMARY, UP_TO_DATE, Status
from firstboot.engine import Refused
from firstboot.node import RESOURCE
from firstboot.render import cib
from firstboot.splitbrain.half import Half

NONE = "0" * 16
WHOLE = (UP_TO_DATE, CONSISTENT)
LOOK = "ksnode resolve"


class Relation(enum.Enum):
    """How one half's data is related to the other's."""

    SAME = "the same generation"
    AHEAD = "newer"
    BEHIND = "older"
    SPLIT = "split brain"
    UNRELATED = "not related"
    UNKNOWN = "not known"


class Part(enum.Enum):
    """What is this node's to do."""

    GIVE_WAY = "give way"
    KEEP = "keep"
    WAIT = "wait"  # for a resync that runs already
    DONE = "done"


def relation(mine: Half, theirs: Half) -> Relation:
    """Of `mine` to `theirs`."""
    one, two = mine.generations, theirs.generations
    if not one or not two or NONE in (one[0], two[0]):
        return Relation.UNKNOWN
    before_one, before_two = set(one[1:]) - {NONE}, set(two[1:]) - {NONE}
    if one[0] == two[0]:
        return Relation.SAME
    if two[0] in before_one:
        return Relation.AHEAD
    if one[0] in before_two:
        return Relation.BEHIND
    return Relation.SPLIT if before_one & before_two else Relation.UNRELATED


def resync_kib(mine: Half, theirs: Half) -> Optional[int]:
    """The most that a resync between the two copies; None: everything, for no bitmap tells."""
    (one, two) = mine.generations[1:2], theirs.generations[1:2]
    shared = one == two and one not in ((), (NONE,))
    return mine.written_kib + theirs.written_kib if shared else None


def decide(
    status: Optional[Status], mine: Half, theirs: Optional[Half], peer: str, loser: str
) -> Part:
    """What this node does so that `loser`'s changes go. Raises Refused where nothing may be done.

    `status` is this node's; `theirs` None: the peer does not tell.
    """
    if status is not None and status.connected:
        return _connected(status, mine.node, loser)
    if theirs is None:
        raise Refused(
            f"{peer} does not tell of its half", f"on {peer}: systemctl status ksnode; ksnode why"
        )
    losing, keeping = (mine, theirs) if mine.node == loser else (theirs, mine)
    if refusal := objection(losing, keeping):
        raise refusal
    if losing is mine:
        return Part.GIVE_WAY
    if not losing.gives_way:
        raise Refused(
            f"nobody has typed on {loser} yet that its changes go", f"the same first on {loser}"
        )
    return Part.KEEP


def _connected(status: Status, node: str, loser: str) -> Part:
    """The two met: nothing is to be resolved, or the resync runs."""
    if status.in_sync:
        return Part.DONE
    ours, peers = status.disk, status.peer_disk
    losing, keeping = (ours, peers) if node == loser else (peers, ours)
    if losing in (INCONSISTENT, OUTDATED) and keeping == UP_TO_DATE:
        return Part.WAIT
    raise Refused(f"{loser}'s data is not being replaced: {status}", "drbdadm status; ksnode why")


def objection(losing: Half, keeping: Half) -> Optional[Refused]:
    """Why `losing`'s changes can't be given up as things are; None when they can."""
    for half in (losing, keeping):
        if not half.up:
            return Refused(
                f"{RESOURCE} is not up on {half.node}", "there: ksnode why; crm_mon -1rf"
            )
    if refusal := _no_split(losing, keeping):
        return refusal
    if refusal := _in_use(losing):
        return refusal
    if losing.disk not in (*WHOLE, OUTDATED, INCONSISTENT):
        return Refused(f"{losing.node}'s disk is {losing.disk}", "there: drbdadm status")
    if keeping.disk not in WHOLE:
        evidence = f"{keeping.node}'s data, which would be kept, is {keeping.disk}"
        return Refused(evidence, "there: drbdadm status")
    return None


def _no_split(losing: Half, keeping: Half) -> Optional[Refused]:
    found = relation(losing, keeping)
    if found is Relation.UNRELATED:
        return Refused(
            "the two halves have no generation in common: DRBD does not merge two lives",
            "docs: 'generations of data that are not related'",
        )
    if found is Relation.UNKNOWN:
        return Refused(
            "of which generations the two halves are is not known",
            f"on both: drbdadm get-gi {RESOURCE}",
        )
    if found is not Relation.SPLIT:
        return Refused(
            f"this is no split brain: {losing.node}'s data is {found.value}", "drbdadm status"
        )
    if not (losing.stands_alone or keeping.stands_alone):
        return Refused(
            "the two have not met since they parted: each still waits for the other",
            "ksnode check cables; ksnode why",
        )
    return None


def _in_use(losing: Half) -> Optional[Refused]:
    node = losing.node
    if losing.guests is None:
        evidence = f"whether guests run on {node} is not known"
        return Refused(evidence, f"on {node}: virsh list; systemctl status virtqemud")
    if losing.guests:
        return Refused(
            f"guests run on {node} with the data that would go: {', '.join(losing.guests)}",
            f"shut them down, not over to the other node; then: {LOOK}",
        )
    if losing.mounted or losing.role == PRIMARY:
        what = "is mounted" if losing.mounted else f"is {PRIMARY}"
        return Refused(
            f"the data that would go {what} on {node}",
            f"crm_resource --ban --promoted --resource {cib.DRBD_CLONE} --node {node}; where no"
            f" cluster runs: umount it, drbdadm secondary {RESOURCE}",
        )
    return None
