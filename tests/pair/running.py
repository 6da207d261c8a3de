"""Time in a played world: whoever waits least goes on, and what was to happen meanwhile happens."""

from __future__ import annotations

from collections.abc import Callable

from firstboot import latches
from tests.pair.fiber import Fiber
from tests.pair.powered import NAMES
from tests.pair.world import Stuck, World


def complete(world: World) -> bool:
    """Whether both nodes say so, and both have it mounted."""
    return all(
        machine.latched(latches.COMPLETE) and machine.shared is not None
        for machine in world.machines.values()
    ) and all(_verdict(world, name) == "complete" for name in NAMES)


def refused(world: World, name: str) -> bool:
    """Whether a node has stopped, and says why."""
    return _verdict(world, name) == "refused"


def _verdict(world: World, name: str) -> str:
    result = world.machines[name].told("RESULT")
    return str(result["verdict"]) if result else ""


def step(world: World, ticks: int | None = None) -> None:
    """The next program goes on until it waits, or for so many effects; or the next event comes."""
    see_off(world)
    ready = min(world.fibers.values(), key=lambda fiber: fiber.wakes_at, default=None)
    soonest = world.next_event()
    if ready is None or (soonest is not None and soonest <= ready.wakes_at):
        if soonest is None:
            raise Stuck("nothing will ever happen")
        world.now = max(world.now, soonest)
        world.happen()
        return
    world.now = max(world.now, ready.wakes_at)
    ready.wakes_at = world.now
    ready.resume(ticks)
    ready.wakes_at = max(ready.wakes_at, world.now)


def see_off(world: World) -> None:
    """Programs that have ended leave; what they failed of is raised."""
    for key, fiber in list(world.fibers.items()):
        if fiber.dead or fiber.ended:
            del world.fibers[key]
            world.see_off(fiber)


def idle(world: World) -> bool:
    """Both are off, and nobody switches them on."""
    return world.next_event() is None and all(f.dead or f.ended for f in world.fibers.values())


def wait(world: World, seconds: float) -> None:
    """Go on for so long."""
    end = world.now + seconds
    while world.now < end and not idle(world):
        step(world)
    world.now = max(world.now, end)


def until(world: World, there: Callable[[World], bool], most_s: float) -> None:
    """Go on until it is so. Raises Stuck when that takes too long."""
    end = world.now + most_s
    while not there(world):
        if world.now > end:
            raise Stuck(status(world))
        step(world)


def close(world: World) -> None:
    """End every program there is."""
    for fiber in world.fibers.values():
        fiber.cut()
        fiber.unwind()
    assert Fiber.running is None


def status(world: World) -> str:
    """Of both nodes, for whoever reads the failure."""
    lines = [f"after {world.now:.0f} s, linked: {world.linked}"]
    for name, machine in world.machines.items():
        lines.append(f"{name}: power {machine.power}, boots {machine.boots}")
        lines.append(f"  {machine.partition}")
        lines.append(f"  {world.drbd.resources[name]} {world.cluster.members[name]}")
        lines.append(f"  RESULT {_verdict(world, name)}")
        steps = (machine.told("status.json") or {}).get("steps", {})
        lines += [
            f"  {step}: {said['event']} {said['detail'][:150]}" for step, said in steps.items()
        ]
    return "\n".join([*lines, "console:", *world.console[-30:]])
