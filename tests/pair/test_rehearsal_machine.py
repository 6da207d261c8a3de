"""Every order of crashes, power cuts, lost messages and failing BMCs that hypothesis finds.

The step and its record are the real ones; machines, BMCs and the network are played, and audit each
shot as it is fired (PlayedRun). tests/pair/test_bmc.py does the same with real BMCs and real TLS.
"""

from __future__ import annotations

import shutil

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.fencing import record
from tests.pair.disk import Cut, Syscalls, scratch
from tests.pair.powered import NAMES, World

ENOUGH_ROUNDS = 20
names = st.sampled_from(NAMES)


class Rehearsal(RuleBasedStateMachine):
    """Both directions, with everything going wrong that may."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = scratch("rehearsal")
        self.world = World(self.folder)
        self.patch = pytest.MonkeyPatch()
        self.calls = Syscalls(list(self.world.disks.values()), self.patch)
        self.world.calls = self.calls
        self.fuses: dict[str, tuple[int | None, bool]] = {}
        self.stopped: set[str] = set()
        self.refusals: list[str] = []

    @rule(name=names)
    def advance(self, name: str) -> None:
        """One look of the node's agent at the world."""
        if not self.world.power[name]:
            return
        fuse, power = self.fuses.pop(name, (None, False))
        self.calls.left = fuse
        try:
            self.world.advance(name)
        except Cut:
            self.calls.left = None
            self.world.stop(name)
            if power:
                self.world.lose_power(name)
                self.world.get_power(name)
        except CommandError:
            self.world.stop(name)  # the attempt failed; the agent tries again from the top
        except Refused as refusal:
            self.refusals.append(refusal.evidence)
            self.stopped.add(name)
            self.world.stop(name)
        else:
            if self.calls.left is not None:
                self.fuses[name] = (self.calls.left, power)
        self.calls.left = None

    @rule(rounds=st.integers(1, 6))
    def go_on(self, rounds: int) -> None:
        """Both agents work and ask."""
        for name in NAMES * rounds:
            self.advance(name)
            self.world.ask(name)

    @rule(name=names, calls=st.integers(0, 60), power=st.booleans())
    def light_a_fuse(self, name: str, calls: int, power: bool) -> None:
        """The node will be cut short so many calls from now."""
        self.fuses[name] = (calls, power)

    @rule(name=names, lose=st.sampled_from(["question", "answer"]))
    def lose_the_next(self, name: str, lose: str) -> None:
        """A part of the node's next question gets lost."""
        if name in self.world.meetings:
            self.world.meetings[name].lose = lose

    @rule(linked=st.booleans())
    def cable(self, linked: bool) -> None:
        """The crossover is pulled or plugged."""
        self.world.linked = linked

    @rule(
        action=st.sampled_from(["off", "on", "status"]),
        when=st.lists(st.sampled_from(["before", "after"]), min_size=1, max_size=2),
    )
    def fail_a_bmc(self, action: str, when: list[str]) -> None:
        """The next fence agents called for that fail, before they did anything or after."""
        self.world.bmc_fails[action] = when

    @rule(name=names)
    def pull_the_plug(self, name: str) -> None:
        """Somebody switches the node off, at any moment."""
        if self.world.power[name]:
            self.world.lose_power(name)
            self.world.off_by_hand.add(name)

    @rule(name=names)
    def press_the_button(self, name: str) -> None:
        """Somebody switches it on."""
        self.world.get_power(name)

    @invariant()
    def what_is_proven_was_done(self) -> None:
        """The boot a latch names was cut by this node, and the peer is in a later one."""
        for name in NAMES:
            if (proof := self.world.proven(name)) is not None:
                before, after = proof["boots"]
                assert before in self.world.cut_boots[name], "nobody cut that boot"
                assert before != after
                assert len(self.world.cut_boots[name]) <= 2

    @invariant()
    def refusals_are_for_two_firings(self) -> None:
        """Nothing else is refused: the devices are right."""
        assert all("fired 2 times" in evidence for evidence in self.refusals), self.refusals

    def teardown(self) -> None:
        """Once faults stop: both proven, at most after a human allowed more firings."""
        try:
            self.fuses.clear()
            self.world.linked = True
            self.world.bmc_fails = {"off": [], "on": [], "status": []}
            for name in tuple(self.world.off_by_hand):  # the others are ours to switch on
                self.world.get_power(name)
            self.go_on(ENOUGH_ROUNDS)
            for name in NAMES:  # ksnode rehearse
                if name in self.stopped and self.world.proven(name) is None:
                    record.forget(self.world.roots[name])
                    self.world.cut_boots[name].clear()
                    self.go_on(ENOUGH_ROUNDS)
            for name in NAMES:
                assert self.world.proven(name), f"{name} is stuck"
                assert not self.world.steps[name].check()
            self.what_is_proven_was_done()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)


TestRehearsal = Rehearsal.TestCase
TestRehearsal.settings = settings(max_examples=100, stateful_step_count=30)
