"""May this node create the pair's data? One pure table over both data partitions and the latches.

Data is created at most once in a pair's life, on its first node, and only when neither side has
any or carries anything unknown. A SeedPermit says so; what creates data asks for one.
"""

import enum
from dataclasses import asdict, dataclass
from typing import Any, Optional


class Content(enum.Enum):
    """What is on a data partition."""

    BLANK = "blank"  # proved: nothing signed, zeros at both ends and in random samples
    WIPED = "wiped"  # erased by consent: nothing signed, zeros at both ends, anything between
    OURS = "ours"  # carries this pair's DRBD metadata
    FOREIGN = "foreign"  # carries something else
    UNKNOWN = "unknown"  # can't be read, or makes no sense


class Action(enum.Enum):
    """What a node does about its data partition."""

    SEED = "seed"  # both are blank, hence equal: the first sync can be skipped
    SEED_FULL_SYNC = "seed with a full sync"
    JOIN = "join"  # make metadata, take what the peer has
    CONNECT = "connect"  # nothing to make
    WAIT = "wait"  # for the peer's answer
    STOP = "stop"


@dataclass(frozen=True)
class Side:
    """A node's data partition as the node saw it, and its latches.

    Of OURS alone: `just_created` metadata never had data; `uuids` are its generations else, 16 hex
    digits each, or none where they were not asked for and DRBD compares them when it connects;
    `file_system` tells of a GFS2 with this pair's lock table. `started` is what the partition was,
    "blank" or "wiped", when this installation began to seed it (latch seed-started), or "ours";
    `data_exists` is the latch of that name. `seen` is for people.
    """

    content: Content
    seen: str
    just_created: bool = False
    uuids: tuple[str, ...] = ()
    file_system: bool = False
    started: Optional[str] = None
    data_exists: bool = False


_ONLY_HERE = object()


class SeedPermit:
    """Leave to create the pair's data. Only decide() makes one.

    With `skip_sync` both partitions are known to be equal, for both were proved blank.
    """

    def __init__(self, token: object, *, skip_sync: bool) -> None:
        if token is not _ONLY_HERE:
            raise TypeError("only decide() permits to create data")
        self.skip_sync = skip_sync


@dataclass(frozen=True)
class Decision:
    """What to do; of STOP the evidence and the way out, of SEED alone the permit.

    `data_exists`: the pair has data, and nothing may ever create it again.
    """

    action: Action
    evidence: str = ""
    way_out: str = ""
    permit: Optional[SeedPermit] = None
    data_exists: bool = False


LOOK = "compare both nodes with: wipefs -n and drbdadm get-gi vmdata; docs: disaster"
ERASE = (
    "look at it there with: wipefs -n; if nobody needs what is on it, erase that partition with:"
    " blkdiscard -z; the agent then goes on by itself"
)


def decide(first: bool, mine: Side, peers: Optional[Side]) -> Decision:
    """The table. `first` is whether this node is the profile's first; None: the peer is unheard."""
    trouble = _trouble("this node", mine) or (peers and _trouble("the peer", peers))
    if trouble:
        return trouble
    if peers is None:
        return Decision(Action.WAIT)
    trouble = _strangers(mine, peers)
    if trouble:
        return trouble
    if _has_data(mine) or _has_data(peers):
        if not (_holds(mine) or _holds(peers)):
            return _stop(
                "this pair's data existed, and neither partition holds it:"
                f" here {mine.seen}; the peer {peers.seen}"
            )
        return Decision(_take_part(mine), data_exists=True)
    if not first:
        return Decision(_take_part(mine))
    skip = _blank_so_far(mine) and _blank_so_far(peers)
    permit = SeedPermit(_ONLY_HERE, skip_sync=skip)
    return Decision(Action.SEED if skip else Action.SEED_FULL_SYNC, permit=permit)


def _take_part(mine: Side) -> Action:
    return Action.CONNECT if mine.content is Content.OURS else Action.JOIN


def _has_data(side: Side) -> bool:
    """Whether the pair is known to have data. A file system alone may be one half made.

    mkfs.gfs2 is made anew as long as this installation began the seed and nobody latched
    data-exists: until then nothing can have mounted it.
    """
    return side.data_exists or (side.file_system and side.started is None)


def _holds(side: Side) -> bool:
    return side.content is Content.OURS and not side.just_created


def _blank_so_far(side: Side) -> bool:
    if side.content is Content.OURS:
        return side.just_created and side.started == "blank"
    return side.content is Content.BLANK and side.started in (None, "blank")


def _trouble(who: str, side: Side) -> Optional[Decision]:
    if side.content in (Content.FOREIGN, Content.UNKNOWN):
        return _stop(
            f"the data partition of {who} is neither blank nor this pair's: {side.seen}", ERASE
        )
    if side.just_created and side.file_system and side.started is None:
        return _stop(
            f"{who} has this pair's file system under metadata that knows of no data: {side.seen}"
        )
    return None


def _strangers(mine: Side, peers: Side) -> Optional[Decision]:
    """Two generations of data that have nothing in common, or one that nobody answers for."""
    unasked = any(_holds(side) and not side.uuids for side in (mine, peers))
    related = unasked or bool(set(mine.uuids) & set(peers.uuids))
    if _holds(mine) and _holds(peers) and not related:
        return _stop(
            "the two partitions carry generations of data that are not related:"
            f" here {mine.seen}; the peer {peers.seen}"
        )
    for who, side, other in (("this node", mine, peers), ("the peer", peers, mine)):
        known = _answered_for(side) or (related and _answered_for(other))
        if _holds(side) and not known:
            return _stop(
                f"nobody knows where the replicated data of {who} is from: {side.seen}", ERASE
            )
    return None


def _answered_for(side: Side) -> bool:
    return side.file_system or side.data_exists or side.started is not None


def _stop(evidence: str, way_out: str = LOOK) -> Decision:
    return Decision(Action.STOP, evidence, way_out)


def side_to_json(side: Side) -> dict[str, Any]:
    """A side as the peer is told of it."""
    return {**asdict(side), "content": side.content.value, "uuids": list(side.uuids)}


def side_from_json(told: Any) -> Side:
    """What the peer told. What makes no sense is UNKNOWN, so stops."""
    try:
        side = Side(**{**told, "content": Content(told["content"]), "uuids": tuple(told["uuids"])})
    except (TypeError, KeyError, ValueError):
        return Side(Content.UNKNOWN, "it told what makes no sense")
    flags = (side.just_created, side.file_system, side.data_exists)
    words = (side.seen, *side.uuids, "" if side.started is None else side.started)
    if not all(isinstance(flag, bool) for flag in flags):
        return Side(Content.UNKNOWN, "it told what makes no sense")
    if not all(isinstance(word, str) for word in words):
        return Side(Content.UNKNOWN, "it told what makes no sense")
    return side
