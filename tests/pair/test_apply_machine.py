"""ksnode apply on a played pair that is complete: cut off anywhere, a node is by the old plan or by
the new one, and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from firstboot import changing, files, links
from firstboot.engine import Refused
from firstboot.node import Bridge, Identity, from_json, plan_digest
from firstboot.render import chrony, kernel, ksm, networkmanager
from firstboot.verbs import apply, converging
from tests.firstboot.plans import as_plan
from tests.pair.conftest import a_world
from tests.pair.doors import Doors
from tests.pair.powered import NAMES
from tests.pair.running import complete, step, until
from tests.pair.world import World

FIRST, SECOND = NAMES
ENOUGH_S = 1800.0


@pytest.fixture(scope="module")
def whole(doors: Doors) -> Iterator[World]:
    """A pair that is complete."""
    with a_world(doors) as world:
        until(world, complete, 4 * 3600.0)
        yield world


def changed(identity: Identity) -> Identity:
    """A VLAN more, other time servers, other figures: every step that a change may take."""
    pair = identity.pair
    return replace(
        identity,
        pair=replace(
            pair,
            bridges=(Bridge("br0.9", 9, ()),),
            time_servers=("10.0.0.250",),
            ksm=replace(pair.ksm, sleep_ms=pair.ksm.sleep_ms + 10),
            guests=replace(pair.guests, dirty_mib=512, migrations=1),
        ),
    )


def lost(identity: Identity) -> Identity:
    """The VLAN with a gateway that nobody is."""
    wanted = changed(identity)
    nodes = tuple(
        replace(node, uplink=replace(node.uplink, gateway="10.0.3.250"))
        for node in wanted.pair.nodes
    )
    return replace(wanted, pair=replace(wanted.pair, nodes=(nodes[0], nodes[1])))


def start(world: World, name: str, wanted: Identity) -> None:
    """ksnode apply, as it goes on once it has shown what differs."""
    machine, run = world.machines[name], world.programs[name]

    def hear(step: str, event: str, detail: str = "") -> None:
        world.console.append(f"{step}: {event}: {detail}")

    def body() -> None:
        with converging.alone(machine.root):
            apply.change_to(
                node_json(world, name), machine.root, wanted, as_plan(wanted), run, hear
            )

    world.start(name, "apply", body)


def ended(name: str) -> Callable[[World], bool]:
    return lambda world: (name, "apply") not in world.fibers


def node_json(world: World, name: str) -> Identity:
    return from_json((world.machines[name].root / changing.NODE).read_text())


def settled(world: World, name: str, identity: Identity) -> list[str]:
    """How a node differs from a plan: files, links, and what the agent says it lives by."""
    root = world.machines[name].root
    rendered = (
        *networkmanager.render(identity),
        *(*chrony.render(identity), *kernel.render(identity), *ksm.render(identity)),
    )
    found = files.differing(root, rendered)
    shown = links.parse(json.dumps(world.machines[name].links()))
    found += [text for lines in links.uplink_faults(identity, shown).values() for text in lines]
    found += [f"{link.name} is there" for link in shown if link.kind == "bridge"]
    for bridge in ("br0", *(b.name for b in identity.pair.bridges)):
        found.remove(f"{bridge} is there")
    if (world.machines[name].told("RESULT") or {}).get("digest") != plan_digest(identity.pair):
        found.append("RESULT is of another plan")
    return found


def at_peace(world: World, name: str) -> bool:
    """No change is begun, and the agent lives by node.json."""
    machine = world.machines[name]
    there = node_json(world, name)
    quiet = not changing.is_undone(machine.root) and name not in world.applying
    return complete(world) and quiet and not settled(world, name, there)


def test_one_node_after_the_other(whole: World) -> None:
    old = node_json(whole, FIRST)
    before = {name: len(whole.machines[name].boot_id) for name in NAMES}
    for name in NAMES:
        wanted = changed(node_json(whole, name))
        start(whole, name, wanted)
        until(whole, ended(name), ENOUGH_S)
        until(whole, lambda world, n=name: at_peace(world, n), ENOUGH_S)  # type: ignore[misc]
        assert node_json(whole, name) == wanted
    assert plan_digest(node_json(whole, FIRST).pair) == plan_digest(node_json(whole, SECOND).pair)
    for name in NAMES:
        start(whole, name, replace(old, node=name))
        until(whole, ended(name), ENOUGH_S)
        until(whole, lambda world, n=name: at_peace(world, n), ENOUGH_S)  # type: ignore[misc]
    assert before == {name: len(whole.machines[name].boot_id) for name in NAMES}
