"""Versions against rpm's own comparison."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.packages.version import Capability, compare, satisfies, vercmp
from tests.packages.rpms import run

PARTS = st.sampled_from(["0", "1", "01", "10", "9", "a", "b", "Z", "rc", ".", "_", "+", "~", "^"])
VERSIONS = st.lists(PARTS, min_size=1, max_size=6).map("".join)


def by_rpm(pairs: list[tuple[str, str]]) -> list[int]:
    calls = "".join(f"print(rpm.vercmp('{a}', '{b}') .. ' ') " for a, b in pairs)
    return [int(word) for word in run("rpm", "-E", f"%{{lua:{calls}}}").split()]


@settings(max_examples=40)
@given(st.lists(st.tuples(VERSIONS, VERSIONS), min_size=20, max_size=60))
def test_like_rpm(pairs: list[tuple[str, str]]) -> None:
    assert [vercmp(a, b) for a, b in pairs] == by_rpm(pairs)


# The pairs of rpm's own test suite (tests/rpmvercmp.at) that tell its rules apart.
@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        ("1.0", "1.0", 0),
        ("2.0.1a", "2.0.1", 1),
        ("5.5p10", "5.5p1", 1),
        ("10xyz", "10.1xyz", -1),
        ("xyz.4", "8", -1),
        ("20101121", "20101122", -1),
        ("1.0010", "1.9", 1),
        ("1.05", "1.5", 0),
        ("2_0", "2.0", 0),
        ("4.999.9", "5.0", -1),
        ("1.0~rc1", "1.0", -1),
        ("1.0~rc1~git123", "1.0~rc1", -1),
        ("1.0^", "1.0", 1),
        ("1.0^git1", "1.01", -1),
        ("1.0~rc1^git1", "1.0~rc1", 1),
        ("1.0^git1~pre", "1.0^git1", -1),
        ("9" * 5000, "1" + "0" * 5000, -1),
    ],
)
def test_rules(one: str, other: str, result: int) -> None:
    assert vercmp(one, other) == result
    assert vercmp(other, one) == -result
    assert by_rpm([(one, other)]) == [result]


def test_epoch_and_release() -> None:
    assert compare("1:1.0-1", "2.0-1") == 1
    assert compare("0:1.0-1", "1.0-1") == 0
    assert compare("1.0-2.el9_4", "1.0-2.el9") == 1
    assert compare("1.0", "1.0-1") == -1


@pytest.mark.parametrize(
    ("provided", "wanted", "result"),
    [
        ("EQ 1.0-7", "EQ 1.0", True),
        ("EQ 1.0-7", "GT 1.0", False),
        ("EQ 1.0-7", "GE 1.0", True),
        ("EQ 1.0", "GT 1.0-7", True),
        ("EQ 1.0", "LT 1.0-7", True),
        ("LT 1.0-7", "EQ 1.0", True),
        ("LE 2", "GE 3", False),
        ("GE 1", "LE 3", True),
        ("LT 1", "LE 3", True),
        ("EQ 1:1", "LT 2", False),
        ("EQ 1-1", "EQ 1-2", False),
        ("GT 1-1", "EQ 1-2", True),
        ("", "GE 1", True),
        ("EQ 1", "", True),
    ],
)
def test_ranges(provided: str, wanted: str, result: bool) -> None:
    assert satisfies(capability(provided), capability(wanted)) is result


def capability(text: str) -> Capability:
    flag, _, evr = text.partition(" ")
    return Capability("x", flag, evr)
