"""Whatever befalls two nodes at any moment, in any order that hypothesis finds.

The agents are the real ones, from the first step to the last (tests/pair/world.py). After each rule
everything is audited, and each deed as it happens; once faults stop, the pair comes through, or
says why a human must come. Crashes alone, at every single effect, are in test_crashes.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.pair import faults
from tests.pair.conftest import a_world
from tests.pair.crashes import HOW, come_through
from tests.pair.doors import Doors
from tests.pair.powered import NAMES
from tests.pair.running import complete, idle, refused, status, step, until, wait
from tests.pair.world import Stuck

pytestmark = pytest.mark.timeout(3600)
names = st.sampled_from(NAMES)
YEAR_S = 365 * 86400.0
A_WHILE_S = 1800.0


class Pair(RuleBasedStateMachine):
    """Both nodes, from the first power-on."""

    doors: ClassVar[Doors]

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.world = self.stack.enter_context(a_world(self.doors))

    @rule(steps=st.integers(1, 60))
    def go_on(self, steps: int) -> None:
        """Each agent works until it waits, by turns."""
        self._go_on([None] * steps)

    @rule(effects=st.lists(st.integers(0, 60), min_size=1, max_size=10))
    def interleave(self, effects: list[int]) -> None:
        """So many effects of one, then of the other."""
        self._go_on(effects)

    def _go_on(self, effects: Sequence[int | None]) -> None:
        for count in effects:
            if not idle(self.world):
                step(self.world, ticks=count)

    @rule(seconds=st.sampled_from([20.0, 90.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        """No fault for a while."""
        wait(self.world, seconds)

    @rule(name=names, effects=st.integers(0, 300), how=st.sampled_from(HOW))
    def light_a_fuse(self, name: str, effects: int, how: str) -> None:
        """The node's agent will be cut short so many effects from now."""
        self.world.fuses.setdefault(name, []).append((effects, how))

    @rule(name=names, how=st.sampled_from(HOW))
    def cut(self, name: str, how: str) -> None:
        """Now."""
        if self.world.machines[name].power:
            self.world.cut(name, how)

    @rule(name=names)
    def pull_the_plug(self, name: str) -> None:
        """Somebody switches the node off."""
        self.world.power_off(name)

    @rule(name=names)
    def press_the_button(self, name: str) -> None:
        """Somebody switches it on."""
        self.world.power_on(name)

    @rule(linked=st.booleans())
    def cables(self, linked: bool) -> None:
        """All crossover cables are pulled, or plugged."""
        if linked != self.world.linked:
            self.world.link(linked)

    @rule(what=st.sampled_from(["question", "answer"]))
    def lose(self, what: str) -> None:
        """A part of the next question gets lost."""
        self.world.lose.append(what)

    @rule(which=st.integers(0, 10_000))
    def say_again(self, which: int) -> None:
        """An old message arrives once more, or late."""
        faults.say_again(self.world, which)

    @rule(name=names, years=st.sampled_from([-56.0, -1.0, 0.0, 10.0, 80.0]))
    def set_the_clock(self, name: str, years: float) -> None:
        """The node's clock is wrong, or right again."""
        self.world.machines[name].wall_offset = years * YEAR_S

    @rule(name=names)
    def install_again(self, name: str) -> None:
        """From the same medium, the data partition as it is."""
        faults.install_again(self.world, name)

    @rule(name=names, disk=st.sampled_from(["blank", "wiped", *faults.FOREIGN]))
    def swap_the_disk(self, name: str, disk: str) -> None:
        """Another disk, on which something lies, and the system anew."""
        faults.install_again(self.world, name, disk)

    @rule(name=names)
    def erase(self, name: str) -> None:
        """A human erases what is somebody else's."""
        faults.erase(self.world, name)

    @precondition(lambda self: not self.world.liar)
    @rule(name=names, lie=st.sampled_from(sorted(faults.LIES)))
    def lie(self, name: str, lie: str) -> None:
        """A node is somebody else's from now on, and says what he likes."""
        self.world.liar, self.world.lie = name, faults.LIES[lie]

    @invariant()
    def nothing_forbidden(self) -> None:
        """What lies about between two deeds."""
        self.world.audit.check()

    def teardown(self) -> None:
        """Faults stop."""
        try:
            self._calm()
        finally:
            self.stack.close()

    def _calm(self) -> None:
        world = self.world
        world.fuses.clear()
        world.lose.clear()
        if not world.linked:
            world.link(True)
        for name in NAMES:
            faults.erase(world, name)
            world.power_on(name)
        if world.liar or faults.shut_out(world):
            wait(world, A_WHILE_S)
            world.audit.check()
            return
        try:
            come_through(world, human=True)
        except Stuck:
            if not faults.shut_out(world):
                raise
        assert complete(world) or faults.shut_out(world), status(world)


def test_a_pair_whatever_befalls_it(doors: Doors) -> None:
    Pair.doors = doors
    run_state_machine_as_test(
        Pair,
        settings=settings(
            max_examples=10,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_what_was_in_the_way_is_erased_late(doors: Doors) -> None:
    """The refusal still stands where people look, although what it asked for is done."""
    Pair.doors = doors
    pair = Pair()
    pair.swap_the_disk(disk="LVM2_member", name="justinian")
    pair.time_passes(seconds=400.0)
    for name in NAMES:
        pair.press_the_button(name)
    until(pair.world, lambda world: refused(world, "justinian"), A_WHILE_S)
    pair.erase(name="justinian")
    pair.teardown()
