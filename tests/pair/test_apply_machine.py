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
from firstboot.render import alerts, chrony, drbd, kernel, ksm, networkmanager
from firstboot.verbs import apply, converging
from tests.firstboot.plans import as_plan
from tests.pair import running
from tests.pair.conftest import a_world
from tests.pair.crashes import decisive
from tests.pair.doors import Doors
from tests.pair.powered import NAMES
from tests.pair.running import complete, until
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
            drbd=replace(pair.drbd, resync_mib_s=pair.drbd.resync_mib_s + 10),
            alerts=replace(pair.alerts, mail_to=("ada@example.org",)),
            guests=replace(pair.guests, dirty_mib=512, migrations=1),
            monitoring=replace(pair.monitoring, disk_celsius=55),
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
        *(*drbd.render(identity), *alerts.render(identity)),
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
    quiet = not changing.is_undone(machine.root) and not world.cluster.members[name].applying
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


def effects(world: World, name: str, wanted: Identity) -> list[str]:
    """What a change does, in order, when nothing goes wrong."""
    begin = len(world.labels[name])
    start(world, name, wanted)
    until(world, ended(name), ENOUGH_S)
    found = world.labels[name][begin:]
    until(world, lambda w: at_peace(w, name), ENOUGH_S)
    return found


def cut(world: World, name: str, wanted: Identity, effect: int, how: str) -> None:
    """A change is cut off before that effect; the node then is by one of the two plans, whole."""
    old = node_json(world, name)
    world.fuses[name] = [(effect, how)]
    start(world, name, wanted)
    until(world, lambda w: not w.fuses[name], ENOUGH_S)
    until(world, lambda w: at_peace(w, name), ENOUGH_S)
    assert node_json(world, name) in (old, wanted)


@pytest.mark.parametrize(
    ("how", "every"),
    [
        ("apply", 12),
        ("power", 40),
        pytest.param("apply", 1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
        pytest.param("power", 1, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_cut_off_anywhere_a_node_is_by_one_plan_and_goes_on(
    whole: World, how: str, every: int
) -> None:
    old = node_json(whole, FIRST)
    done = effects(whole, FIRST, changed(old))
    effects(whole, FIRST, old)
    for number in decisive(done)[::every]:
        cut(whole, FIRST, changed(old), number, how)
        effects(whole, FIRST, changed(old))
        assert node_json(whole, FIRST) == changed(old)
        effects(whole, FIRST, old)


def test_a_network_that_nobody_answers_in_is_put_back(whole: World) -> None:
    """Its own way out is as planned, only nobody is there: nothing else was changed meanwhile."""
    old = node_json(whole, FIRST)
    begin, at = len(whole.console), whole.now
    with pytest.raises(Refused, match="not reached any more within 60 s: the gateway"):
        effects(whole, FIRST, lost(old))
    assert whole.now - at < changing.WITHIN_S + 30
    assert not any(line.startswith("host: missing") for line in whole.console[begin:])
    until(whole, lambda w: at_peace(w, FIRST), ENOUGH_S)
    assert node_json(whole, FIRST) == old


def test_one_node_at_a_time(whole: World) -> None:
    """Of two that begin at once none is overlooked: both stay out, or one."""
    old = {name: node_json(whole, name) for name in NAMES}
    for name in NAMES:
        start(whole, name, changed(old[name]))
    refused: list[str] = []
    while any((name, "apply") in whole.fibers for name in NAMES):
        try:
            running.step(whole)
        except Refused as refusal:
            refused.append(str(refusal))
    assert refused
    assert all("is in the middle of an apply" in text for text in refused)
    for name in NAMES:
        until(whole, lambda world, n=name: at_peace(world, n), ENOUGH_S)  # type: ignore[misc]
        effects(whole, name, changed(old[name]))
        effects(whole, name, old[name])


def test_without_its_peer_a_node_stays_as_it_is(whole: World) -> None:
    old = node_json(whole, FIRST)
    whole.power_off(SECOND)
    with pytest.raises(Refused, match="julius is not online"):
        effects(whole, FIRST, changed(old))
    assert not changing.is_undone(whole.machines[FIRST].root)
    assert node_json(whole, FIRST) == old
    whole.power_on(SECOND)
    until(whole, lambda w: complete(w) and at_peace(w, SECOND), ENOUGH_S)
