"""Cabling on real ports: veth pairs, raw frames, two nodes' own threads; see scenarios.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.firstboot.conftest import MACS, ONE_PYTHON, PEER_MACS

ROOT = Path(__file__).parents[2]


def found(scenario: str) -> "list[dict[str, Any]]":
    """What the nodes of a scenario found, each in a namespace where nothing else is."""
    inside = f"mount -t sysfs none /sys && exec {sys.executable} -m tests.firstboot.scenarios"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c",
         f'{inside} "$1"', "sh", scenario],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def lying(*pairs: "tuple[int, int]") -> "tuple[list[list[str]], list[list[str]]]":
    """Cables by the ports' numbers, as either node should have them."""
    there = [[MACS[a - 1], PEER_MACS[b - 1]] for a, b in pairs]
    return there, sorted([b, a] for a, b in there)


@pytest.mark.parametrize(
    ("scenario", "cables", "first_says", "second_says"),
    [
        ("good", [(1, 1), (2, 2), (3, 3)], "", ""),
        ("bad_weather", [(1, 1), (2, 2), (3, 3)], "", ""),
        pytest.param("restarted", [(1, 1), (2, 2), (3, 3)], "", "", marks=ONE_PYTHON),
        pytest.param("redone", [(1, 1), (2, 2), (3, 3)], "", "", marks=ONE_PYTHON),
        pytest.param("auto", [(1, 1), (2, 2), (3, 3)], "", "", marks=ONE_PYTHON),
        pytest.param(
            "dead",
            [(1, 1), (3, 3)],
            "a2 (52:54:00:01:00:02) no link",
            "b2",
            marks=ONE_PYTHON,
        ),
        pytest.param(
            "swapped",
            [(1, 2), (2, 1), (3, 3)],
            f"port {MACS[0]} leads to {PEER_MACS[1]}, by the profile to {PEER_MACS[0]}",
            f"port {PEER_MACS[0]} leads to {MACS[1]}",
            marks=ONE_PYTHON,
        ),
        pytest.param(
            "third_party",
            [(1, 1), (2, 2)],
            f"a3 ({MACS[2]}) sees 00:0C:29:00:00:01",
            "b3",
            marks=ONE_PYTHON,
        ),
        pytest.param(
            "overheard",
            [(1, 1), (2, 2)],
            "which does not call it good",
            f"b3 ({PEER_MACS[2]}) sees 00:0C:29:00:00:01",
            marks=ONE_PYTHON,
        ),
        pytest.param(
            "another_pair",
            [(1, 1), (2, 2)],
            f"a3 ({MACS[2]}) hellos without this pair's key;"
            " they claim pair 00000000-0000-0000-0000-000000000015",
            "b3",
            marks=ONE_PYTHON,
        ),
        ("forged", [(1, 1), (2, 2)], "hellos without this pair's key", "b3"),
        pytest.param(
            "replayed",
            [(1, 1), (2, 2)],
            f"a3 ({MACS[2]}) hears {PEER_MACS[0]} of julius, which hears nothing from here",
            "hears nothing of justinian",
            marks=ONE_PYTHON,
        ),
        (
            "one_way",
            [(1, 1), (3, 3)],
            f"a2 ({MACS[1]}) hears {PEER_MACS[1]} of julius, which hears nothing from here",
            "b2 (52:54:00:02:00:02) has a link, hears nothing of justinian",
        ),
    ],
)
def test_both_nodes_use_the_same_cables(
    scenario: str, cables: "list[tuple[int, int]]", first_says: str, second_says: str
) -> None:
    first, second = found(scenario)
    wanted = lying(*cables)
    assert first["cables"] == wanted[0], first
    assert sorted(second["cables"]) == wanted[1], second
    for answer, says in ((first, first_says), (second, second_says)):
        assert not answer["missing"]
        # What is told in the end, or was told last while it was open: a replay falls silent.
        assert says in f"{answer['remark']} {answer['said']}"
        assert bool(says) == bool(answer["remark"])


def test_without_a_peer_it_waits() -> None:
    (only,) = found("alone")
    assert only["cables"] is None
    assert only["missing"] == ["which cable leads where is not known yet"]
    assert f"a1 ({MACS[0]}) no link" in only["said"]
