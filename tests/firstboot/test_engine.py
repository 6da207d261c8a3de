"""converge(): order, stopping, dry run, and doing nothing twice."""

from collections.abc import Sequence

import pytest

from firstboot.engine import Refused, Step, StepFailed, converge
from tests.firstboot.conftest import Told


class Flag(Step):
    """A step that is done once applied."""

    def __init__(self, name: str, log: list[str], *, works: bool = True, needs: str = "") -> None:
        self.name, self.needs = name, needs  # type: ignore[misc]
        self._log, self._works, self._done = log, works, False

    def check(self) -> Sequence[str]:
        self._log.append(f"check {self.name}")
        return () if self._done else ("all of it",)

    def apply(self) -> None:
        self._log.append(f"apply {self.name}")
        self._done = self._works


def test_each_step_is_checked_again_after_applying(told: Told) -> None:
    log: list[str] = []
    steps = [Flag("a", log), Flag("b", log)]
    assert converge(steps, told, has=lambda _: False)
    assert log == ["check a", "apply a", "check a", "check b", "apply b", "check b"]
    log.clear()
    assert converge(steps, told, has=lambda _: False)
    assert log == ["check a", "check b"]
    assert told.events[-1] == ("b", "ok", "")


def test_a_step_that_does_not_hold_stops_the_rest(told: Told) -> None:
    log: list[str] = []
    with pytest.raises(StepFailed, match="a: still missing after applying: all of it"):
        converge([Flag("a", log, works=False), Flag("b", log)], told, has=lambda _: False)
    assert "check b" not in log


def test_what_takes_a_while_is_waited_for(told: Told) -> None:
    class Slow(Flag):
        settles_s = 3.0

        def check(self) -> Sequence[str]:
            super().check()
            return () if len(waited) == 2 else ("not yet",)

    waited: list[float] = []
    log: list[str] = []
    assert converge([Slow("a", log)], told, has=lambda _: False, sleep=waited.append)
    assert log == ["check a", "apply a", "check a", "check a", "check a"]
    waited = [0.0] * 3  # from now on it never shows
    with pytest.raises(StepFailed):
        converge([Slow("a", log)], told, has=lambda _: False, sleep=waited.append)
    assert len(waited) == 6


def test_a_refusal_stops_the_rest(told: Told) -> None:
    class Refusing(Flag):
        def check(self) -> Sequence[str]:
            raise Refused("foreign disk", "look at it")

    log: list[str] = []
    with pytest.raises(Refused, match="foreign disk"):
        converge([Refusing("a", log), Flag("b", log)], told, has=lambda _: False)
    assert log == []
    assert told.events == [("a", "refused", "foreign disk; next: look at it")]


def test_a_failure_is_told_under_its_step(told: Told) -> None:
    class Failing(Flag):
        def apply(self) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        converge([Failing("a", [])], told, has=lambda _: False)
    assert told.events[-1] == ("a", "failed", "disk full")


def test_dry_run_applies_nothing_and_says_what_is_missing(told: Told) -> None:
    log: list[str] = []
    steps = [Flag("a", log), Flag("b", log)]
    assert not converge(steps, told, has=lambda _: False, dry_run=True)
    assert log == ["check a", "check b"]


def test_a_platform_without_the_capability_says_so(told: Told) -> None:
    log: list[str] = []
    steps = [Flag("a", log, needs="dmi")]
    assert converge(steps, told, has=lambda _: False)
    assert log == []
    assert told.events == [("a", "absent", "not on this platform")]
    converge(steps, told, has=lambda _: True)
    assert "apply a" in log


def test_what_was_waited_for_at_a_barrier_is_not_its_last_word(told: Told) -> None:
    step = Flag("a", [])
    step.barrier = True  # type: ignore[misc]

    def arrive(step: Step) -> None:
        told(step.name, "waiting", "for the peer")

    assert converge([step], told, has=lambda _: False, arrive=arrive)
    assert told.events[-2:] == [("a", "waiting", "for the peer"), ("a", "done", "")]
