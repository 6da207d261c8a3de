"""Leaving and health with real corosync and pacemaker on two nodes, and a guest that can move."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pair.pacemakers import NAMES, Nodes

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with Nodes(tmp_path) as nodes:
        yield nodes


def initiated(nodes: Nodes) -> list[str]:
    """What the guest went through, by the logs of whoever was in charge."""
    found: list[str] = []
    for name in NAMES:
        found += re.findall(r"Initiating (\w+) operation vm1_", nodes.log(name))
    return [deed for deed in found if deed != "monitor"]


def test_a_node_in_bad_health_then_one_that_leaves_then_both(nodes: Nodes, tmp_path: Path) -> None:
    """The guest is moved live twice, and stopped once, at the end."""
    me = nodes.where()
    (peer,) = set(NAMES) - {me}
    assert initiated(nodes) == ["start"]
    assert nodes.typed(me, "tell", "raid", "red")[0] == 0
    nodes.wait("it left", lambda: nodes.where() == peer)
    assert nodes.typed(me, "tell", "raid", "red")[0] == 1, "it is told once"
    assert nodes.typed(peer, "tell", "uplink", "red")[0] == 0, "now both are red"
    assert nodes.typed(me, "tell", "raid", "green")[0] == 0
    nodes.wait("it is back", lambda: nodes.where() == me)
    moved = ["migrate_to", "migrate_from", "stop"]
    assert initiated(nodes) == ["start", *moved, *moved]

    first = nodes.ksnode(me, "--pair")
    nodes.wait("it asks", lambda: "ks-poweroff" in nodes.shown(peer))
    assert nodes.where() == me, "nothing happens before the other is told as well"
    second = nodes.ksnode(peer, "--pair")
    for node in (first, second):
        said, _ = node.communicate(timeout=120)
        assert node.returncode == 0, said
        assert "vm1 stops, none is moved" in said
    assert initiated(nodes) == ["start", *moved, *moved, "stop"]
    assert [(tmp_path / name / "became").read_text() for name in NAMES] == ["poweroff"] * 2
    for name in NAMES:
        assert not re.search(r"pe_fence_node|is unclean", nodes.log(name)), "somebody was lost"
        assert "processor failed" not in (tmp_path / name / "corosync.log").read_text()


def test_one_node_leaves_alone(nodes: Nodes, tmp_path: Path) -> None:
    me = nodes.where()
    (peer,) = set(NAMES) - {me}
    plan = f"ksnode: vm1 moves to {peer}, live where a guest can\n"
    assert nodes.typed(me, "--dry-run") == (0, plan)
    code, said = nodes.typed(me, "alone")
    assert code == 0, said
    assert nodes.where(peer) == peer
    assert (tmp_path / me / "became").read_text() == "poweroff"
    assert initiated(nodes) == ["start", "migrate_to", "migrate_from", "stop"]
