"""Two played machines with BMCs: power, boots, agents; the fencing step on them is the real one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firstboot import latches
from firstboot.commands import CommandError, Result
from firstboot.fencing import record
from firstboot.fencing.inherited import TOPIC
from firstboot.fencing.rehearsal import INTENT
from firstboot.node import FenceDevice, Identity
from firstboot.rendezvous.credentials import PAIR
from firstboot.rendezvous.session import Meeting, NotMet, State
from firstboot.steps import Context
from firstboot.steps.fencing import Fencing
from tests.firstboot.conftest import Told, an_identity
from tests.pair.disk import Cut, Disk, Syscalls

NAMES = ("justinian", "julius")
BMC_LEVEL = 2
PASSWORD_FILE = "/root/bmc"  # noqa: S105 - where it is, not what it is
OTHER = dict(zip(NAMES, NAMES[::-1], strict=True))


def fenced_identity(
    name: str, platform: str = "debian12-lab", more: Sequence[FenceDevice] = ()
) -> Identity:
    """A node whose BMCs' passwords come from a file, at 10.0.1.1 and 10.0.1.2.

    `more` are devices that each node has beside its BMC, which then is at BMC_LEVEL.
    """
    level = BMC_LEVEL if more else 1
    identity = an_identity(name, platform)
    nodes = tuple(
        dataclasses.replace(
            node,
            fencing=(
                *(
                    dataclasses.replace(d, level=level, password_file=PASSWORD_FILE)
                    for d in node.fencing
                ),
                *more,
            ),
        )
        for node in identity.pair.nodes
    )
    return dataclasses.replace(identity, pair=dataclasses.replace(identity.pair, nodes=nodes))  # type: ignore[arg-type]


class World:
    """Who has power, who was cut off by whom, and what BMCs and wires do wrong next."""

    def __init__(self, folder: Path, more: Sequence[FenceDevice] = ()) -> None:
        self.more = more
        self.sockets = {(Path(d.command or "").name, n): True for d in more for n in NAMES}
        self.jammed: set[tuple[str, str, str]] = set()  # agent, action and plug, as in asked
        self.asked: list[tuple[str, str, str]] = []
        self.roots = {name: folder / name for name in NAMES}
        self.wired = {"10.0.1.1": "justinian", "10.0.1.2": "julius"}  # which BMC cuts whom
        self.power = dict.fromkeys(NAMES, True)
        self.boots = dict.fromkeys(NAMES, 1)
        self.cut_boots: dict[str, list[str]] = {name: [] for name in NAMES}
        self.meetings: dict[str, PlayedMeeting] = {}
        self.steps: dict[str, Fencing] = {}
        self.told = {name: Told() for name in NAMES}
        self.linked = True
        self.bmc_fails: dict[str, list[str]] = {"off": [], "on": [], "status": []}
        self.off_by_hand: set[str] = set()
        self.guids: dict[str, str] = {}
        self.platform = "debian12-lab"
        for name, root in self.roots.items():
            for part in ("etc/ksbuild/pair", "var/lib/ksbuild", "root"):
                (root / part).mkdir(parents=True)
            (root / "etc/ksbuild/pair/node.crt").touch()
            (root / "root/bmc").touch(0o600)
            (root / "root/bmc").write_text(f"secret-of-{name}\n")
            latches.set_once(root, latches.SECRETS_STORED, "{}")
        self.disks = {name: Disk(root) for name, root in self.roots.items()}
        self.calls: Syscalls | None = None

    def identity(self, name: str) -> Identity:
        return fenced_identity(name, self.platform, self.more)

    def boot_id(self, name: str) -> str:
        return f"{name} boot {self.boots[name]}"

    def password_of(self, agent: str, plug: str) -> str:
        """What is in the file that the profile names for that device."""
        files = [d.password_file for d in self.more if Path(d.command or "").name == agent]
        text = (self.roots[plug] / files[0].lstrip("/")).read_text() if files[0] else ""
        return text.rstrip("\n")

    def stop(self, name: str) -> None:
        """The agent ends."""
        self.meetings.pop(name, None)
        self.steps.pop(name, None)

    def lose_power(self, name: str) -> None:
        if self.power[name]:
            self.power[name] = False
            self.stop(name)
            self.disks[name].power_cut()

    def get_power(self, name: str) -> None:
        if not self.power[name]:
            self.power[name] = True
            self.off_by_hand.discard(name)
            self.boots[name] += 1

    def advance(self, name: str) -> bool:
        """The node's agent does what it can; it is started first where it does not run."""
        if name not in self.steps:
            self.disks[name].settle()
            meeting = PlayedMeeting(name, self)
            run = PlayedRun(name, self)
            identity = self.identity(name)
            context = Context(identity, self.roots[name], run, self.told[name], meeting)
            step = Fencing(context, sleep=lambda _: None)
            self.meetings[name], self.steps[name] = meeting, step
            step.check()
            step.prepare()
        return self.steps[name].advance()

    def ask(self, name: str) -> None:
        with contextlib.suppress(NotMet):
            if name in self.meetings:
                self.meetings[name].ask()

    def tick(self) -> None:
        if self.calls is not None:
            self.calls.tick()

    def proven(self, name: str) -> dict[str, Any] | None:
        path = self.roots[name] / "var/lib/ksbuild/fencing-proven"
        return json.loads(path.read_text()) if path.exists() else None


class PlayedMeeting(Meeting):
    """The real one but for the wire."""

    def __init__(self, name: str, world: World) -> None:
        root = world.roots[name]
        super().__init__(world.identity(name), root, world.boot_id(name))
        self._name, self._world = name, world
        self.lose = ""

    def _ask(self, kind: str) -> State:
        assert kind == PAIR
        peer = self._world.meetings.get(OTHER[self._name])
        lose, self.lose = self.lose, ""
        if peer is None or lose == "question" or not self._world.linked:
            raise NotMet("nobody answers")
        asked = json.loads(json.dumps(self._state(PAIR)))
        peer._heard(asked, PAIR)
        if lose == "answer":
            raise NotMet("cut off")
        more = peer._admit(PAIR, asked["told"])
        return self._heard(json.loads(json.dumps(peer._state(PAIR, more))), PAIR)


class PlayedRun:
    """Fence agents, ipmitool and systemctl; each deed is audited as it happens."""

    def __init__(self, name: str, world: World) -> None:
        self._name, self._world = name, world

    def __call__(
        self, argv: Sequence[str], *, stdin: str | None = None, ok: tuple[int, ...] = (0,), **_: Any
    ) -> Result:
        world = self._world
        world.tick()
        if argv[0] == "systemctl":
            return Result(tuple(argv), 3, "inactive\n", "")
        if "bootdev" in argv:
            return Result(tuple(argv), 0, "Set Boot Device to disk\n", "")
        if argv[0] == "ipmitool":
            guid = world.guids.get(argv[argv.index("-H") + 1], "") if "guid" in argv else ""
            return Result(tuple(argv), 0 if guid else 1, f"System GUID  : {guid}\n", "")
        (program,) = argv
        options = dict(line.split("=", 1) for line in (stdin or "").splitlines())
        bmc = program == "/usr/sbin/fence_ipmilan"
        done = self._act(options) if bmc else self._switch(Path(program).name, options)
        result = Result(tuple(argv), done, "", "failed")
        world.tick()
        if result.returncode not in ok:
            raise CommandError(result)
        return result

    def _act(self, options: dict[str, str]) -> int:
        world, action = self._world, options["action"]
        coming = world.bmc_fails[action]
        fails = coming.pop(0) if coming else ""
        if fails == "before":
            return 1
        victim = world.wired[options["ip"]]
        owner = {"10.0.1.1": "justinian", "10.0.1.2": "julius"}[options["ip"]]
        assert options["password"] == f"secret-of-{owner}"
        if action == "status":
            return 0 if world.power.get(victim, True) else 2
        if action == "off":
            self._audit()
            if victim in NAMES:
                world.cut_boots[self._name].append(world.boot_id(victim))
                world.lose_power(victim)
            else:
                world.power[victim] = False
        elif victim in NAMES:
            world.get_power(victim)
        else:
            world.power[victim] = True
        if victim == self._name and action == "off":
            raise Cut
        return 1 if fails == "after" else 0

    def _switch(self, agent: str, options: dict[str, str]) -> int:
        """A socket of a power strip; a machine has power while one of its sockets has."""
        world, action, plug = self._world, options["action"], options["plug"]
        assert options.get("password", "") == world.password_of(agent, plug)
        world.asked.append((agent, action, plug))
        if (agent, action, plug) in world.jammed:
            return 1
        if action == "status":
            return 0 if world.sockets[agent, plug] else 2
        if action == "off":
            self._audit()
        world.sockets[agent, plug] = action == "on"
        if any(on for (_, of), on in world.sockets.items() if of == plug):
            world.get_power(plug)
        elif world.power[plug]:
            world.cut_boots[self._name].append(world.boot_id(plug))
            world.lose_power(plug)
        return 0

    def _audit(self) -> None:
        """What must hold whenever a node fires."""
        world, other = self._world, OTHER[self._name]
        mine = record.load(world.roots[self._name])
        assert mine.phase == INTENT, "it fires without an intent on disk"
        assert mine.firings <= 2, "it fires a third time"
        assert world.proven(self._name) is None, "it fires though it has proven it"
        theirs = record.load(world.roots[other])
        assert not theirs.phase or world.proven(other), "both directions at once"
        if self._name == NAMES[1]:
            assert world.proven(NAMES[0]), "the second fires before the first is done"
        if (victim := world.meetings.get(other)) is not None:
            assert victim._private[TOPIC]["ready"] is True, "it fires before the peer is ready"
