"""One node's half of data that was written apart, as it sees it itself, and as the peer is told."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Optional

from firstboot import strictjson

STAND_ALONE = "StandAlone"
_PLAIN = re.compile(r"[\x20-\x7e]{0,200}")
MOST_GUESTS = 1000


@dataclass(frozen=True)
class Half:
    """States are in DRBD's words, all empty where it does not run (`up`).

    `generations` are DRBD's current, bitmap and two of history, 16 hex digits each, 0 for none;
    `written_kib` is what this node's bitmap holds, so what it wrote that the peer does not have.
    `guests` are those that run, None where libvirt does not answer. `last_write` and `parted` (when
    DRBD last named the split brain) are UTC, "" where nothing tells them. `gives_way`: a human
    has typed here that this half goes.
    """

    node: str
    up: bool
    connection: str
    role: str
    disk: str
    generations: "tuple[str, ...]"
    written_kib: int
    mounted: bool
    guests: "Optional[tuple[str, ...]]"
    last_write: str
    parted: str
    gives_way: bool

    @property
    def stands_alone(self) -> bool:
        """Whether DRBD gave the peer up here."""
        return self.connection == STAND_ALONE


def to_json(half: Half) -> "dict[str, Any]":
    """As JSON has it."""
    guests = None if half.guests is None else list(half.guests)
    return {**asdict(half), "generations": list(half.generations), "guests": guests}


def from_json(told: Any, node: str) -> Optional[Half]:
    """What the peer `node` told; None when it makes no sense, or is another's."""
    try:
        half: Half = strictjson.value(Half, told, "half")
    except strictjson.StrictError:
        return None
    words = (half.connection, half.role, half.disk, half.last_write, half.parted)
    guests = half.guests or ()
    plain = all(_PLAIN.fullmatch(word) for word in (*words, *guests, *half.generations))
    return half if plain and half.node == node and len(guests) <= MOST_GUESTS else None
