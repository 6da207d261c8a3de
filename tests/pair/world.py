"""Two played machines in which the real agents run: power, cables, clock, and what may not be.

One program runs at a time, and a run is the same each time. Whatever an agent does to disk, DRBD
or cluster is audited as it happens (tests/pair/audits.py).
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from firstboot import latches
from firstboot.journal import Journal
from firstboot.node import Identity
from firstboot.steps import Context, meet
from firstboot.verbs import converging, gate
from tests.pair.audits import Audit
from tests.pair.clustered import Clustered
from tests.pair.doors import Doors
from tests.pair.fiber import Fiber
from tests.pair.machine import GATE_LINK, Machine
from tests.pair.powered import NAMES, OTHER, fenced_identity
from tests.pair.programs import Programs
from tests.pair.replicated import Replicated
from tests.pair.talking import PlayedHellos, PlayedMeeting
from tests.pair.test_secrets_machine import PlayedOpenssl

RESTART_S, BOOT_S = 15.0, 40.0  # ksnode.service's RestartSec; a server's firmware and kernel
TICK_S = 0.002
BEGAN = 1.8e9  # the wall clock's seconds when the world begins


def identity(name: str) -> Identity:
    found = fenced_identity(name)
    return replace(found, pair=replace(found.pair, bridges=()))


class Stuck(AssertionError):
    """The pair did not come through in time."""


class World:
    """Both machines and all between them."""

    def __init__(self, folder: Path, doors: Doors, seed: int = 0) -> None:
        random.seed(seed)
        meet.JITTER.seed(seed)
        self.now = 0.0
        doors.world = self
        self.linked = True
        self.offstage = 0  # while it is not the agent that changes things
        self.lose: list[str] = []
        self.liar = ""  # a node whose words are not its own any more, for the rest of this world
        self.lie: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.said: list[tuple[str, str, dict[str, Any], float]] = []  # who, by what, what, when
        self.console: list[str] = []
        self.commands: list[tuple[str, str, bool]] = []
        self.labels: dict[str, list[str]] = {name: [] for name in NAMES}
        self.made = 0
        self.rings: dict[str, int] = {}  # files on the shared volume, and the locks taken in them
        self.audit = Audit(self)
        self.fired: dict[str, list[str]] = {name: [] for name in NAMES}
        self.shared = folder / "shared"
        self.shared.mkdir(parents=True)
        self.wired = {"10.0.1.1": NAMES[0], "10.0.1.2": NAMES[1]}
        self.meetings: dict[str, PlayedMeeting] = {}
        self.hellos: dict[str, PlayedHellos] = {}
        self.fibers: dict[tuple[str, str], Fiber] = {}
        self.fuses: dict[str, list[tuple[int, str]]] = {}  # effects left, and how it is cut then
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.machines = {
            name: Machine(folder / name, identity(name), f"secret-of-{name}") for name in NAMES
        }
        self.drbd = Replicated(
            {name: machine.partition for name, machine in self.machines.items()},
            lambda: self.linked,
            self.after,
            self._show_drbd,
        )
        pair = identity(NAMES[0]).pair
        self.cluster = Clustered(pair, self.after, self._promote, self._mount)
        shared = PlayedOpenssl()  # one, so that keys differ
        self.programs = {name: Programs(self, name, shared) for name in NAMES}
        for name in NAMES:
            self.power_on(name, boot_s=1.0)

    # What the played parts ask for.

    def session(self) -> str:
        return f"{next(self._numbers):032x}"

    @property
    def running(self) -> Machine:
        assert Fiber.running is not None
        return self.machines[Fiber.running.owner]

    def wall(self) -> float:
        return BEGAN + self.now + (self.running.wall_offset if Fiber.running else 0.0)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), what))

    def tick(self, label: str) -> None:
        """An effect of the running program comes next; here it may be cut short."""
        self.now += TICK_S
        fiber = Fiber.running
        assert fiber is not None
        if not fiber.dead:
            self.labels[fiber.owner].append(label)
            self._burn(fiber)
        fiber.tick()

    def _burn(self, fiber: Fiber) -> None:
        if fuses := self.fuses.get(fiber.owner):
            left, how = fuses[0]
            fuses[0] = (left - 1, how)
            if left <= 0:
                fuses.pop(0)
                self.cut(fiber.owner, how)
                self.audit.check()

    def loses(self, what: str) -> bool:
        if self.lose[:1] == [what]:
            self.lose.pop(0)
            return True
        return False

    def ran(self, name: str, line: str, *, reads: bool) -> None:
        assert not [s for s in self.secrets() if s in line], f"a secret in argv: {line}"
        self.commands.append((name, line, reads))

    def reachable(self, name: str) -> bool:
        return self.linked and self.machines[OTHER[name]].power

    def secrets(self) -> list[str]:
        """What must not be seen anywhere."""
        found = [machine.password for machine in self.machines.values()]
        for machine in self.machines.values():
            folder = machine.root / "etc/ksbuild/secrets"
            found += [path.read_text() for path in folder.glob("*") if path.name[0] != "."]
        return [secret.strip() for secret in found if secret.strip()]

    def next_event(self) -> float | None:
        return self._events[0][0] if self._events else None

    def happen(self) -> None:
        """The next event."""
        _, _, what = heapq.heappop(self._events)
        what()

    # Power, links, agents.

    @contextlib.contextmanager
    def backstage(self) -> Iterator[None]:
        """What is written meanwhile is none of the agent's effects."""
        self.offstage += 1
        try:
            yield
        finally:
            self.offstage -= 1

    def power_on(self, name: str, boot_s: float = BOOT_S) -> None:
        """The server starts, and its agent and gate some time later."""
        machine = self.machines[name]
        if machine.power:
            return
        with self.backstage():
            machine.boot()
            self._show_drbd()
        boots = machine.boots

        def booted() -> None:
            if machine.power and machine.boots == boots:
                self._start_agent(name)
                if (machine.root / GATE_LINK).is_symlink():
                    self.start_gate(name)

        self.after(boot_s, booted)

    def power_off(self, name: str, *, keep: bool = False) -> None:
        """What was not synced is lost, unless the disk happened to `keep` it."""
        machine = self.machines[name]
        if not machine.power:
            return
        machine.power = False
        self.end_programs(name)
        with self.backstage():
            self.cluster.stop(name)
            self.drbd.down(name, crashed=True)
            if not keep:
                machine.forget()
            machine.settle()

    def end_programs(self, name: str) -> None:
        """No program on this machine has any effect from now on."""
        for (owner, _), fiber in self.fibers.items():
            if owner == name:
                fiber.cut()
        self.meetings.pop(name, None)
        self.hellos.pop(name, None)

    def cut(self, name: str, how: str) -> None:
        """The agent is killed, and started again; or its server loses power, and gets it again."""
        if how == "apply":
            if (change := self.fibers.get((name, how))) is not None:
                change.cut()
        elif how == "kill":
            if (there := self.fibers.get((name, "agent"))) is None:
                return
            there.cut()
            self.meetings.pop(name, None)
            self.hellos.pop(name, None)
            self.after(RESTART_S, lambda: self._start_agent(name))
        else:
            self.power_off(name, keep=how == "reset")
            self.after(5.0, lambda: self.power_on(name))

    def link(self, linked: bool) -> None:
        """The crossover is pulled, or plugged."""
        self.linked = linked
        if linked:
            self.drbd.meet()
        else:
            self.drbd.part()
            if all(member.mounted for member in self.cluster.members.values()):
                self.power_off(NAMES[1])  # the first has the lead in a duel
                self.after(5.0, lambda: self.power_on(NAMES[1]))

    def a_context(self, whose: Identity, root: Path) -> tuple[Context, Journal]:
        """In the place of converging.a_context: the same, but for the doors."""
        name = whose.node
        machine = self.machines[name]
        meeting = PlayedMeeting(self, whose, root, machine.boot_id)
        hellos = PlayedHellos(self, name)
        assert Fiber.running is not None
        self.meetings[name], self.hellos[name] = meeting, hellos
        journal = Journal(root, whose, machine.boot_id)
        context = Context(whose, root, self.programs[name], journal, meeting, hellos)
        return context, journal

    def _start_agent(self, name: str) -> None:
        machine = self.machines[name]
        there = self.fibers.get((name, "agent"))
        if not machine.power or (there is not None and not there.dead and not there.ended):
            return
        none = argparse.Namespace()
        self.start(name, "agent", lambda: converging.agent(machine.reread(), machine.root, none))

    def start_gate(self, name: str) -> None:
        """As ksbuild-gate.service does, whose condition is the latch."""
        machine, run = self.machines[name], self.programs[name]
        there = self.fibers.get((name, "gate"))
        if (there and not there.ended and not there.dead) or not machine.latched(latches.COMPLETE):
            return
        whose, root, boot = machine.identity, machine.root, machine.boot_id
        self.start(name, "gate", lambda: gate.wait_and_start(whose, root, boot, run))

    def start(self, name: str, what: str, body: Callable[[], object]) -> None:
        if (there := self.fibers.get((name, what))) is not None:
            self.see_off(there)
        fiber = self.fibers[name, what] = Fiber(name, body)
        fiber.wakes_at = self.now

    def see_off(self, fiber: Fiber) -> None:
        if fiber.dead:
            fiber.unwind()
        if fiber.error is not None:
            raise fiber.error

    def _promote(self, name: str) -> bool:
        """pacemaker's DRBD agent: start, and promote where the disk is good."""
        mine = self.drbd.resources[name]
        if not mine.connection:
            peers = self.drbd.resources[OTHER[name]].secret
            self.drbd.adjust(name, mine.secret or peers or self.drbd_secret(name))
        return not self.drbd.promote(name)

    def drbd_secret(self, name: str) -> str:
        return (self.machines[name].root / "etc/ksbuild/secrets/drbd").read_text()

    def _mount(self, name: str, there: bool) -> None:
        if there:
            assert self.machines[name].partition.data, "mounted without a file system"
            self.audit.has_data = True
            self.machines[name].mount(self.shared)
        else:
            self.machines[name].unmount()

    def _show_drbd(self) -> None:
        for name, machine in self.machines.items():
            up = bool(self.drbd.resources[name].connection)
            machine.show_drbd(self.drbd.print(name), up=up)
