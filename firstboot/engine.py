"""converge(): bring a node to what its sequence of steps says, asking the world each time.

A step that is done is not run again; resuming after a crash is starting from the top.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Callable, ClassVar, Protocol


class Refused(Exception):
    """A step met something it must not touch: the evidence, and the way out for a human."""

    def __init__(self, evidence: str, way_out: str) -> None:
        super().__init__(evidence)
        self.evidence = evidence
        self.way_out = way_out


class StepFailed(Exception):
    """A step applied itself and things are still missing."""

    def __init__(self, step: str, missing: Sequence[str]) -> None:
        super().__init__(f"{step}: still missing after applying: {'; '.join(missing)}")


class Report(Protocol):
    """Where the engine and the steps tell people what is going on."""

    def __call__(self, step: str, event: str, detail: str = "") -> None:
        """Tell one event; `event` is one of ok, missing, done, absent, waiting, refused,
        failed.
        """
        ...


class Step(ABC):
    """One thing a node must be.

    `needs` names a capability the platform may lack; what apply() sets going may take `settles_s`
    seconds to show. Behind a `barrier` nothing begins before the peer has come through it too.
    """

    name: ClassVar[str]
    needs: ClassVar[str] = ""
    settles_s: ClassVar[float] = 0.0
    barrier: ClassVar[bool] = False

    @abstractmethod
    def check(self) -> Sequence[str]:
        """What is still missing, in words; empty means done. Reads only. May raise Refused."""

    @abstractmethod
    def apply(self) -> None:
        """Bring about what check() found missing. May raise Refused or CommandError."""

    def remark(self) -> str:
        """What is worth knowing about a step that is done, as its last check() saw it."""
        return ""


def converge(
    steps: Sequence[Step],
    report: Report,
    *,
    has: Callable[[str], bool],
    arrive: Callable[[Step], None] = lambda _: None,
    dry_run: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Run each step in order. True when nothing was missing or everything missing was mended.

    `has` tells whether the platform has a capability. `arrive` is told of each step this node has
    come through, and returns when the next may begin. With `dry_run` nothing is applied and the
    answer says whether anything is missing. Raises Refused, StepFailed, or what a step's apply()
    raises, reported under the step's name; later steps are then not looked at.
    """
    complete = True
    for step in steps:
        if step.needs and not has(step.needs):
            report(step.name, "absent", "not on this platform")
            continue
        try:
            event, remark = _one(step, report, dry_run, sleep)
            complete = event != "missing" and complete
            if not dry_run:
                arrive(step)
                if step.barrier:  # what it said last may be that it waits there
                    report(step.name, event, remark)
        except Refused as refusal:
            report(step.name, "refused", f"{refusal.evidence}; next: {refusal.way_out}")
            raise
        except Exception as error:
            report(step.name, "failed", str(error))
            raise
    return complete


def _one(
    step: Step, report: Report, dry_run: bool, sleep: Callable[[float], None]
) -> tuple[str, str]:
    """The event and the detail it was reported with last: "ok", "done", or "missing" if dry."""
    missing = step.check()
    if not missing:
        event, detail = "ok", step.remark()
    else:
        event, detail = "missing", "; ".join(missing)
        report(step.name, event, detail)
        if dry_run:
            return event, detail
        step.apply()
        if left := _settled(step, sleep):
            raise StepFailed(step.name, left)
        event, detail = "done", step.remark()
    report(step.name, event, detail)
    return event, detail


def _settled(step: Step, sleep: Callable[[float], None]) -> Sequence[str]:
    """What is still missing after applying, once nothing is or its time is up."""
    left, waited = step.check(), 0.0
    while left and waited < step.settles_s:
        sleep(1.0)
        left, waited = step.check(), waited + 1.0
    return left
