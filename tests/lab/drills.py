"""All drills by name, and running them: several on one pair, each at the beginning on its own."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.lab import (
    beginning,
    broken,
    carrier,
    figures,
    guests,
    operations,
    production,
    renewing,
    report,
    splitbrain,
)
from tests.lab.beginning import Beginning
from tests.lab.bringup import NotInstalled, Stock, a_pair, bring_up, install, stock
from tests.lab.drilling import Drilling, Failed
from tests.lab.progress import Tell
from tests.uml.pair import TestPair
from tests.uml.running import MachineError

IN_PRODUCTION: dict[str, Callable[[Drilling], None]] = {
    "pull-power": production.pull_power,
    "lose-links": production.lose_links,
    "pull-cables": production.pull_cables,
    "both-power": production.both_power,
    "hours-apart": production.hours_apart,
    "orderly-poweroff": production.orderly_poweroff,
    "node-and-bmc": production.node_and_bmc,
    "raid-degraded": operations.raid_degraded,
    "pull-uplink": operations.pull_uplink,
    "start-alone": operations.start_alone,
    "start-alone-cold": splitbrain.start_alone_cold,
    "update": renewing.update,
    "split-brain": splitbrain.split_brain,
    "counting-guest": guests.counting_guest,
    "pull-one-cable": carrier.pull_one_cable,
    "pull-two-cables": carrier.pull_two_cables,
    "figures": figures.measure,
}
AT_THE_BEGINNING: dict[str, Callable[[Beginning], None]] = {
    "bmc-dead": beginning.bmc_dead,
    "bmcs-swapped": beginning.bmcs_swapped,
    "foreign-pair": beginning.foreign_pair,
    "wrong-clock": beginning.wrong_clock,
    "peer-late": beginning.peer_late,
    "cut-at-every-step": beginning.cut_at_every_step,
    "medium-of-the-other": beginning.medium_of_the_other,
    "medium-left-in": beginning.medium_left_in,
    "reinstalled": beginning.reinstalled,
    "flushes-ignored": broken.flushes_ignored,
}
DRILLS = {**IN_PRODUCTION, **AT_THE_BEGINNING}
# On User-mode Linux a cable that is pulled takes no carrier away, so there it would show nothing.
QEMU_ALONE = {"pull-one-cable", "pull-two-cables"}
# What a drill that does not pass ends with; anything else is the lab's own fault and a traceback.
NOT_PASSED = (Failed, MachineError, NotInstalled, TimeoutError, subprocess.SubprocessError)


def possible(platform: str) -> list[str]:
    """The drills that machines of that platform can have.

    QEMU's are production's alone: its servers go on by themselves once they are installed, where a
    drill at the beginning wants them off.
    """
    if platform == "qemu":
        return sorted(IN_PRODUCTION)
    return sorted(DRILLS.keys() - QEMU_ALONE)


def criterion(name: str) -> str:
    """When a drill has passed, in one paragraph."""
    return " ".join((DRILLS[name].__doc__ or "").split())


class Session:
    """Drills run one after another; `results` has what came of each."""

    def __init__(self, options: argparse.Namespace, folder: Path, tell: Tell, seed: int) -> None:
        self._options, self._folder, self._tell = options, folder, tell
        self._random = random.Random(seed)  # noqa: S311 - which node is the victim
        self._seed = seed
        self._pairs = 0
        self.results: dict[str, dict[str, object]] = {}

    def run(self, names: Sequence[str]) -> int:
        """Run these; 0 when all passed. Those in production share a pair until one fails."""
        made = stock(self._tell)
        left = [name for name in names if name in IN_PRODUCTION]
        while left:
            left = self._on_one_pair(made, left)
        for name in names:
            if name in AT_THE_BEGINNING:
                folder, profile = self._next_folder(), self._options.profile
                kept = self._options.out / name
                start = Beginning(made, folder, profile, self._tell, kept, self._random)
                self._one(name, partial(AT_THE_BEGINNING[name], start))
        passed = all(result["passed"] for result in self.results.values())
        print(f"{'all passed' if passed else 'NOT all passed'}; seed {self._seed}")
        return 0 if passed else 1

    def _on_one_pair(self, made: Stock, names: Sequence[str]) -> list[str]:
        """Run drills until one fails; the names that are left."""
        with a_pair(made, self._next_folder(), self._options.profile) as pair:
            install(pair, self._tell)
            if not bring_up(pair, self._tell).complete:
                raise Failed("the pair was not complete in time: see make lab")
            drilling = Drilling(pair, self._tell, self._random)
            try:
                return self._in_turn(drilling, names)
            finally:
                drilling.stop()

    def _in_turn(self, drilling: Drilling, names: Sequence[str]) -> list[str]:
        for number, name in enumerate(names):
            drilling.figures = {}
            if number:
                drilling.rest()
            passed = self._one(name, partial(IN_PRODUCTION[name], drilling))
            report.keep_consoles(drilling.pair, self._options.out / name)
            self.results[name]["figures"] = drilling.figures
            self._write()
            if not passed:
                self._keep_logs(drilling.pair, name)
                return list(names[number + 1 :])
        return []

    def _keep_logs(self, pair: TestPair, name: str) -> None:
        try:
            report.keep_logs(pair, self._options.out / name)
        except NOT_PASSED as error:
            self._tell("", f"not all of the nodes' logs were to be had: {error}")

    def _one(self, name: str, drill: Callable[[], None]) -> bool:
        self._tell("", f"==== {name}: {criterion(name)}")
        began, complaint = time.monotonic(), ""
        try:
            drill()
        except NOT_PASSED as error:
            complaint = str(error) or type(error).__name__
        took = round(time.monotonic() - began)
        self.results[name] = {"passed": not complaint, "seconds": took, "complaint": complaint}
        self._tell(
            "", f"==== {name}: {'FAILED: ' + complaint if complaint else 'passed'}, {took} s"
        )
        self._write()
        return not complaint

    def _next_folder(self) -> Path:
        self._pairs += 1
        return self._folder / str(self._pairs)

    def _write(self) -> None:
        out: Path = self._options.out
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"seed": self._seed, "drills": self.results}, indent=2)
        (out / "drills.json").write_text(f"{text}\n")
