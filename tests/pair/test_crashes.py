"""Both agents cut short before every effect they have on anything, alone and in pairs.

The agents are the real ones, from the first step to the last; machines, programs and wires are
played (tests/pair/world.py), and audit each deed (tests/pair/audits.py).
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence

import pytest

from firstboot import latches
from firstboot.verbs import converging
from tests.pair.conftest import a_world
from tests.pair.crashes import HOW, MOST_S, Crash, come_through, decisive, labels, survive
from tests.pair.doors import Doors
from tests.pair.fiber import Fiber
from tests.pair.powered import NAMES
from tests.pair.running import complete, until

pytestmark = pytest.mark.timeout(3600)
PAIRS, MANY_PAIRS = 20, 2000


@pytest.fixture(scope="module")
def effects(doors: Doors) -> dict[str, list[str]]:
    return labels(doors)


def run_all(doors: Doors, attempts: Sequence[Sequence[Crash]]) -> None:
    """Every attempt, and then what became of those that failed."""
    assert attempts
    failed = []
    for number, crashes in enumerate(attempts):
        try:
            survive(doors, crashes, seed=number)
        except AssertionError as error:
            failed.append(f"{' and '.join(map(str, crashes))} (seed {number}):\n{error}")
    assert not failed, f"{len(failed)} of {len(attempts)}:\n" + "\n\n".join(failed[:3])


def test_a_pair_comes_through_and_then_changes_nothing(doors: Doors) -> None:
    """ksnode run, typed on a complete node, runs no command that changes anything."""
    with a_world(doors) as world:
        come_through(world)
        for name in NAMES:
            machine, done = world.machines[name], len(world.commands)
            typed = Fiber(
                name,
                lambda m=machine: converging.run_once(  # type: ignore[misc]
                    m.identity, m.root, argparse.Namespace(dry_run=False)
                ),
            )
            kept = {p: p.read_bytes() for p in (machine.root / "etc").rglob("*") if p.is_file()}
            world.fibers[name, "typed"] = typed
            until(world, lambda _, t=typed: t.ended, MOST_S)  # type: ignore[misc]
            assert typed.error is None
            ran = [line for who, line, reads in world.commands[done:] if who == name and not reads]
            assert not ran
            kept.pop(machine.root / "etc/issue.d/ksnode.issue")
            assert not [path for path, content in kept.items() if path.read_bytes() != content]


def test_a_cut_of_both_after_all_is_done(doors: Doors) -> None:
    """The gate brings the cluster back, and nothing is made anew."""
    with a_world(doors) as world:
        come_through(world)
        for name in NAMES:
            world.cut(name, "power")
        assert not complete(world)
        come_through(world)
        assert all(machine.latched(latches.COMPLETE) for machine in world.machines.values())


@pytest.mark.parametrize("node", NAMES)
def test_every_crash(doors: Doors, effects: dict[str, list[str]], node: str) -> None:
    """By turns the agent is killed, and the server loses power and all that was not synced.

    Every fourth point; the slow test has each, in each way.
    """
    points = decisive(effects[node])[::4]
    run_all(
        doors,
        [[Crash(node, at, HOW[n % 2], effects[node][at])] for n, at in enumerate(points)],
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("node", NAMES)
def test_every_crash_before_every_effect(
    doors: Doors, effects: dict[str, list[str]], node: str, how: str
) -> None:
    found = effects[node]
    run_all(doors, [[Crash(node, at, how, found[at])] for at in range(len(found))])


def two_crashes(effects: dict[str, list[str]], number: int) -> list[Crash]:
    """On one node or both; the second of a node before any of what it does anew."""
    chance = random.Random(number)  # noqa: S311 - no secret
    crashes: list[Crash] = []
    for turn in range(2):
        node = chance.choice(NAMES)
        again = turn and node == crashes[0].node
        points = range(len(effects[node])) if again else decisive(effects[node])
        crashes.append(Crash(node, chance.choice(points), chance.choice(HOW)))
    return crashes


def test_pairs_of_crashes(doors: Doors, effects: dict[str, list[str]]) -> None:
    run_all(doors, [two_crashes(effects, number) for number in range(PAIRS)])


@pytest.mark.slow
def test_many_pairs_of_crashes(doors: Doors, effects: dict[str, list[str]]) -> None:
    run_all(doors, [two_crashes(effects, number) for number in range(PAIRS, MANY_PAIRS)])


# Crashes the pair did not come through once, by what they came before.
FOUND = [
    # The peer was off by our hand, and our agent waited for it in the rendezvous for ever.
    (NAMES[0], r"^after /usr/sbin/fence_ipmilan", "kill"),
    (NAMES[1], r"^after /usr/sbin/fence_ipmilan", "power"),
    # drbdmeta had written its log and not yet its superblock: neither blank nor ours.
    (NAMES[0], r"^within create-md", "kill"),
    (NAMES[1], r"^within create-md", "power"),
]


@pytest.mark.parametrize(("node", "before", "how"), FOUND)
def test_found_crashes(
    doors: Doors, effects: dict[str, list[str]], node: str, before: str, how: str
) -> None:
    points = [n for n, label in enumerate(effects[node]) if re.match(before, label)]
    run_all(doors, [[Crash(node, at, how, effects[node][at])] for at in points])
