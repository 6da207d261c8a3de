"""One drill on one pair in production: what its functions share, and what it must hold."""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from firstboot.gate import BOOTS, WINDOW_S
from firstboot.journal import STATE
from tests.lab import audits
from tests.lab.progress import Tell
from tests.lab.writer import Writer
from tests.uml.pair import Server, TestPair

SETTLE_S = 900.0
_LATER = f"""
import json, os
path = "/{STATE / BOOTS}"
if os.path.exists(path):  # since the node's first boot when complete
    boots = [dict(boot, at=boot["at"] - {WINDOW_S}) for boot in json.load(open(path))]
    json.dump(boots, open(path, "w"))
"""
FIRST_RECORDS, RECORDS = 50, 50
RECORDS_S = 60.0


class Failed(Exception):
    """A drill saw what its pass criterion forbids."""


def require(condition: object, complaint: str) -> None:
    """Raise Failed unless the condition holds."""
    if not condition:
        raise Failed(complaint)


@dataclass
class Drilling:
    """A complete pair, both nodes running, and all that was ever acknowledged on it.

    `figures` are what drills measured, seconds unless their names say otherwise.
    """

    pair: TestPair
    tell: Tell
    random: random.Random
    writers: list[Writer] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def bound_s(self) -> float:
        """How long the profile lets a survivor wait: until a node counts as lost, and fencing.

        The same as DRBD's fence handler is given (firstboot/render/drbd.py).
        """
        cluster = self.pair.plan.cluster
        return cluster.token_ms * 22 / 10000 + 60 * cluster.timeout_factor

    def rest(self) -> None:
        """Half an hour passes, by both nodes' record of their boots; it is not slept.

        Otherwise the gate would take two drills' power cuts for nodes that keep fencing each other.
        """
        for server in self.pair.servers:
            self.pair.on(server, f"python3 -c {shlex.quote(_LATER)}; sync")

    def choose(self) -> tuple[Server, Server]:
        """Victim and survivor, either of them."""
        victim, survivor = self.random.sample(self.pair.servers, 2)
        self.tell(victim.name, "is the victim")
        return victim, survivor

    def write(self) -> dict[str, Writer]:
        """A writer on each node, both well under way."""
        made = {}
        for server in self.pair.servers:
            writer = Writer(self.pair, server, f"records-{len(self.writers)}-{server.name}")
            self.writers.append(writer)
            made[server.name] = writer
        for writer in made.values():
            writer.wait(FIRST_RECORDS, RECORDS_S)
        return made

    def count(self, server: Server, pattern: str) -> int:
        """Lines of the node's kernel log, this boot, that match (grep -E)."""
        command = f"journalctl -k -b --no-pager -o cat | grep -cE '{pattern}' || :"
        return int(self.pair.on(server, command))

    def fences(self) -> dict[str, int]:
        """How often each node was fenced, up to now: its BMC was told to switch it on.

        A fence agent cuts nothing where it sees no power; on it tells in any case.
        """
        return {
            server.name: bmc.told("on")
            for server, bmc in zip(self.pair.servers, self.pair.bmcs, strict=True)
        }

    def fenced_since(self, before: dict[str, int]) -> list[str]:
        """Who was fenced since then, as often as it was."""
        return [name for name, n in self.fences().items() for _ in range(n - before[name])]

    def wait(self, what: str, condition: Callable[[], object], timeout: float) -> float:
        """Wait for the condition; the seconds it took. Raises Failed."""
        began = time.monotonic()
        while not condition():
            require(time.monotonic() - began < timeout, f"{what}: not within {timeout:.0f} s")
            time.sleep(0.5)
        took = time.monotonic() - began
        self.tell("", f"{what}: after {took:.0f} s")
        return took

    def finish(self) -> None:
        """Stop the writers, wait until the pair is whole again, and look at everything."""
        self.stop()
        if left := audits.settle(self.pair, SETTLE_S, self.tell):
            raise Failed("; ".join(left))
        if lost := audits.lost(self.pair, self.writers):
            raise Failed("; ".join(lost))

    def stop(self) -> None:
        """End all writers."""
        for writer in self.writers:
            writer.stop()
