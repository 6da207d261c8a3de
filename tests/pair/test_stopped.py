"""A BMC that is somebody else's, and a crossover that fails at that moment: no proof, ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstboot.engine import Refused
from firstboot.fencing import record
from firstboot.verbs.rehearse import let_fire_again
from tests.pair.powered import NAMES, World

FIRST, SECOND = NAMES


def fire_past_the_peer(world: World) -> None:
    """The first node cuts a third machine off, and the peer seems silent meanwhile."""
    world.wired["10.0.1.2"] = "somebody"
    world.power["somebody"] = True
    for _ in range(20):
        for name in NAMES:
            world.advance(name)
            world.ask(name)


def advance_twice(world: World, name: str) -> None:
    """Started, and once more: the refusal may come with either."""
    world.advance(name)
    world.advance(name)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)

    def silent(_: object) -> bool:
        return True

    monkeypatch.setattr("firstboot.steps.fencing.Fencing._silent", silent)
    return world


def test_a_later_boot_of_the_peer_proves_nothing(world: World) -> None:
    with pytest.raises(Refused, match="it is not its power"):
        fire_past_the_peer(world)
    world.lose_power(SECOND)  # somebody looks after it
    world.get_power(SECOND)
    world.stop(FIRST)
    for _ in range(5):
        world.advance(SECOND)
        with pytest.raises(Refused, match="it is not its power"):
            advance_twice(world, FIRST)
    assert world.proven(FIRST) is None


def test_a_human_lets_it_fire_again(world: World) -> None:
    with pytest.raises(Refused, match="it is not its power") as refused:
        fire_past_the_peer(world)
    assert f"ksnode rehearse {SECOND}" in refused.value.way_out
    let_fire_again(world.roots[FIRST])
    assert record.load(world.roots[FIRST]).firings == 0
