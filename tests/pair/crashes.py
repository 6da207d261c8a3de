"""Where an agent can be cut short, and whether the pair comes through all the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from firstboot.fencing import record
from tests.pair import faults
from tests.pair.conftest import a_world
from tests.pair.doors import Doors
from tests.pair.powered import NAMES
from tests.pair.running import complete, refused, step, until
from tests.pair.world import World

MOST_S = 4 * 3600.0
HOW = ("kill", "power", "reset")  # reset: what was written before is kept, synced or not
# What people are told decides nothing; a file under another name is nothing yet; what is asked is
# asked again; after an effect nothing else is left behind than before the next one.
_IDLE = re.compile(
    r"journal\.jsonl|\.status\.json|\.RESULT|issue\.d|^(unlink|create|fsync) .*\.new$"
    r"|^(fsync|mkdir|chmod|ask|after) "
)


@dataclass(frozen=True)
class Crash:
    """Before this effect of a node's agent, counted from its first; `label` is what it would be."""

    node: str
    effect: int
    how: str
    label: str = ""

    def __str__(self) -> str:
        return f"{self.how} {self.node} before effect {self.effect}: {self.label}"


def labels(doors: Doors) -> dict[str, list[str]]:
    """What each node's agent does, in order, when nothing goes wrong."""
    with a_world(doors) as world:
        until(world, complete, MOST_S)
        return {name: list(found) for name, found in world.labels.items()}


def decisive(found: Sequence[str]) -> list[int]:
    """The effects before which a cut leaves something else behind than before the one before."""
    return [number for number, label in enumerate(found) if not _IDLE.search(label)]


def come_through(world: World, *, human: bool = False) -> None:
    """Both end complete, alike, and with nothing of what may never happen. `human` helps where an
    agent says that a human must.
    """
    while not complete(world):
        until(world, lambda w: complete(w) or (human and bool(stopped(w))), MOST_S)
        if not complete(world):
            _help(world)
    world.audit.check()
    world.audit.alike()


def _help(world: World) -> None:
    """Type what the refusal names."""
    for name in stopped(world):
        result = world.machines[name].told("RESULT")
        assert result is not None
        if "blkdiscard -z" in result["next"]:
            faults.erase(world, name)
        else:
            _rehearse(world, name, result)
        until(world, lambda w, n=name: not _refused(w, n), MOST_S)  # type: ignore[misc]


def _rehearse(world: World, name: str, result: dict[str, Any]) -> None:
    assert "ksnode rehearse" in result["next"], result
    assert "fired 2 times" in result["evidence"], result
    record.forget(world.machines[name].root)
    world.fired[name].clear()
    seen = len(world.console)
    while not any("ksnode" in line for line in world.console[seen:]):
        step(world)


def stopped(world: World) -> list[str]:
    """The nodes whose agent has refused to go on, and has not looked again since."""
    return [name for name in NAMES if refused(world, name) and _refused(world, name)]


def _refused(world: World, name: str) -> bool:
    steps = (world.machines[name].told("status.json") or {}).get("steps", {})
    return any(said["event"] == "refused" for said in steps.values())


def survive(doors: Doors, crashes: Sequence[Crash], seed: int = 0) -> None:
    """The pair comes through these. A node's second crash counts from where it starts anew."""
    with a_world(doors, seed) as world:
        for crash in crashes:
            world.fuses.setdefault(crash.node, []).append((crash.effect, crash.how))
        human = len(crashes) > 1
        come_through(world, human=human)
        assert not any(world.fuses.values()) or human, "it was never cut"
