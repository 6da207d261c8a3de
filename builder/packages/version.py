"""Order of RPM versions, and whether a version satisfies a requirement.

The rules are rpm's (rpmio/rpmvercmp.c, rpm-version(7)) for the order and libsolv's
(`pool_intersect_evrs`) for ranges, because dnf decides with libsolv what is installed.
"""

import re
from functools import lru_cache
from typing import NamedTuple

_SEGMENT = re.compile(r"[0-9]+|[a-zA-Z]+|~|\^")


class Capability(NamedTuple):
    """A name, perhaps with a range: `flag` is one of EQ LT GT LE GE, or "" for any version."""

    name: str
    flag: str = ""
    evr: str = ""

    def __str__(self) -> str:
        words = {"EQ": "=", "LT": "<", "GT": ">", "LE": "<=", "GE": ">="}
        evr = self.evr.removeprefix("0:")
        return f"{self.name} {words[self.flag]} {evr}" if self.flag else self.name


def vercmp(one: str, other: str) -> int:
    """Compare two versions or releases: -1, 0 or 1.

    Anything but letters, digits, `~` and `^` only separates; digits are newer than letters; `~`
    sorts before the end, `^` after the end but before anything else.
    """
    ours, theirs = _SEGMENT.findall(one), _SEGMENT.findall(other)
    for a, b in zip(ours, theirs, strict=False):
        if a != b and (result := _compare_segments(a, b)):
            return result
    if len(ours) == len(theirs):
        return 0
    longer, sign = (ours, 1) if len(ours) > len(theirs) else (theirs, -1)
    return -sign if longer[min(len(ours), len(theirs))] == "~" else sign


def _compare_segments(a: str, b: str) -> int:
    for mark in "~^":
        if mark in (a, b):
            return -1 if a == mark else 1
    if a[0].isdigit() != b[0].isdigit():
        return 1 if a[0].isdigit() else -1
    if a[0].isdigit():
        # Numbers of any length, without turning them into integers.
        a, b = a.lstrip("0"), b.lstrip("0")
        if len(a) != len(b):
            return 1 if len(a) > len(b) else -1
    return (a > b) - (a < b)


@lru_cache(maxsize=65536)
def split(evr: str) -> tuple[int, str, str]:
    """Split "1:2.0-3.el9" into epoch (0 unless given), version and release ("" unless given)."""
    epoch, colon, rest = evr.rpartition(":")
    version, _, release = rest.partition("-")
    return int(epoch) if colon and epoch.isdecimal() else 0, version, release


def compare(one: str, other: str) -> int:
    """Compare two EVRs of packages: -1, 0 or 1; a missing release is older than any."""
    (e1, v1, r1), (e2, v2, r2) = split(one), split(other)
    return (e1 > e2) - (e1 < e2) or vercmp(v1, v2) or vercmp(r1, r2)


class Newest:
    """A sort key for EVRs."""

    __slots__ = ("evr",)

    def __init__(self, evr: str) -> None:
        self.evr = evr

    def __lt__(self, other: "Newest") -> bool:
        return compare(self.evr, other.evr) < 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Newest) and compare(self.evr, other.evr) == 0

    __hash__ = None  # type: ignore[assignment]  # "1.0" and "1.00" are equal


def satisfies(provided: Capability, wanted: Capability) -> bool:
    """Tell whether the two ranges have a version in common; names are not looked at.

    A release is only compared when both sides have one.
    """
    if not wanted.flag or not provided.flag:
        return True
    have, want = _BITS[provided.flag], _BITS[wanted.flag]
    if have & want & (_LESS | _GREATER):
        return True
    (e1, v1, r1), (e2, v2, r2) = split(provided.evr), split(wanted.evr)
    order = (e1 > e2) - (e1 < e2) or vercmp(v1, v2)
    if not order and r1 and r2:
        order = vercmp(r1, r2)
    elif not order and r1 != r2:
        return bool((want if r1 else have) & _EQUAL)
    if order < 0:
        return bool(want & _LESS or have & _GREATER)
    if order > 0:
        return bool(want & _GREATER or have & _LESS)
    return bool(have & want & _EQUAL)


_LESS, _EQUAL, _GREATER = 1, 2, 4
_BITS = {
    "LT": _LESS,
    "LE": _LESS | _EQUAL,
    "EQ": _EQUAL,
    "GE": _GREATER | _EQUAL,
    "GT": _GREATER,
}
