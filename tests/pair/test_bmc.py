"""fence_ipmilan and ipmitool against real BMCs, and both directions of the rehearsal with them.

A machine here is an agent in a thread: its BMC's "off" ends the thread and its answers, "on" starts
another with a new boot id. TLS, passwords, fence agents and IPMI are the real ones.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot import commands, latches
from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.fencing import record
from firstboot.fencing.identity import same
from firstboot.fencing.power import Power
from firstboot.fencing.rehearsal import OFF, ON
from firstboot.node import Identity
from firstboot.render import fencedevice
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.fencing import Fencing
from tests.firstboot.conftest import Told, a_ca, a_leaf
from tests.pair.powered import NAMES, OTHER, fenced_identity

PORTS = {"justinian": 16231, "julius": 16232}
UUIDS = {name: str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in NAMES}
MEETING_PORT = 18445


class Killed(BaseException):
    """The machine of this thread lost its power."""


class Machine:
    """A node's root, its agent's thread, and its BMC."""

    def __init__(self, name: str, root: Path, told: Told) -> None:
        self.name, self.root, self.told = name, root, told
        self.power, self.boots, self.fired_by_bmc = "off", 0, 0
        self.boot_devices: list[str] = []
        self.dead = threading.Event()
        self.meeting: Meeting | None = None
        self.refusal: Refused | None = None
        self.uuid = UUIDS[name]
        self.identity = with_bmcs(fenced_identity(name, "el9"))

    def start_bmc(self, guid: str | None = None) -> None:
        argv = [sys.executable, "-m", "tests.pair.bmc", str(PORTS[self.name]), secret(self.name)]
        self.bmc = subprocess.Popen(
            [*argv, guid or self.uuid], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.bmc.stdin
        assert self.bmc.stdout
        assert self.bmc.stdout.readline() == "ready\n"
        self._answer()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        assert self.bmc.stdout
        for line in self.bmc.stdout:
            deed = line.split()
            if deed[0] == "off":
                self.fired_by_bmc += 1
                self.switch_off()
            elif deed[0] == "on":
                self.switch_on()
            elif deed[0] == "boot":
                self.boot_devices.append(deed[1])
            self._answer()

    def _answer(self) -> None:
        assert self.bmc.stdin
        self.bmc.stdin.write(f"{self.power}\n")
        self.bmc.stdin.flush()

    def switch_off(self) -> None:
        self.power = "off"
        self.dead.set()
        if self.meeting is not None:
            self.meeting.stop()

    def switch_on(self) -> None:
        if self.power == "off":
            self.power, self.boots, self.dead = "on", self.boots + 1, threading.Event()
            threading.Thread(target=self._live, args=(self.dead,), daemon=True).start()

    def _live(self, dead: threading.Event) -> None:
        meeting = Meeting(
            self.identity, self.root, f"{self.name} boot {self.boots}", port=MEETING_PORT
        )
        self.meeting = meeting

        def sleep(_: float) -> None:
            if dead.wait(0.05):
                raise Killed

        def run(argv: list[str], **how: object) -> commands.Result:
            if dead.is_set():
                raise Killed
            if argv[0] == "systemctl":
                return commands.Result(tuple(argv), 3, "inactive", "")
            return commands.run(argv, **how)  # type: ignore[arg-type]

        context = Context(self.identity, self.root, run, self.told, meeting)  # type: ignore[arg-type]
        step = Fencing(context, sleep=sleep)
        try:
            meeting.start()
            if step.check():
                step.apply()
            while not dead.wait(0.05):
                step.check()
        except Refused as refusal:
            self.refusal = refusal
        except Killed:
            pass
        finally:
            meeting.stop()


def secret(name: str) -> str:
    return f"canary-{name}"


def with_bmcs(identity: Identity) -> Identity:
    def here(name: str) -> dict[str, object]:
        return {"address": "127.0.0.1", "port": PORTS[name]}

    nodes = tuple(
        dataclasses.replace(
            node,
            fencing=tuple(dataclasses.replace(d, **here(node.name)) for d in node.fencing),  # type: ignore[arg-type]
        )
        for node in identity.pair.nodes
    )
    return dataclasses.replace(identity, pair=dataclasses.replace(identity.pair, nodes=nodes))  # type: ignore[arg-type]


def lay(root: Path, ca: Path, name: str) -> None:
    a_leaf(ca, root, name)
    (root / "etc/ksbuild/introduction").rename(root / "etc/ksbuild/pair")
    latches.set_once(root, latches.SECRETS_STORED, "{}")
    (root / "root").mkdir()
    (root / "root/bmc").touch(0o600)
    (root / "root/bmc").write_text(secret(name) + "\n")
    (root / "sys/class/dmi/id").mkdir(parents=True)
    (root / "sys/class/dmi/id/product_uuid").write_text(UUIDS[name] + "\n")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    ca, told = a_ca(tmp_path / "ca"), Told()
    made = {}
    for name in NAMES:
        lay(tmp_path / name, ca, name)
        made[name] = Machine(name, tmp_path / name, told)
    yield made
    for machine in made.values():
        machine.switch_off()
        machine.bmc.kill()
        machine.bmc.communicate()


def wait_until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def proven(machine: Machine) -> bool:
    return latches.is_set(machine.root, latches.FENCING_PROVEN)


def test_each_cuts_the_other_once_and_comes_back(
    machines: dict[str, Machine], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for machine in machines.values():
        machine.start_bmc()
        machine.switch_on()
    wait_until(lambda: all(proven(machine) for machine in machines.values()), 120)
    for name, machine in machines.items():
        assert machine.refusal is None
        assert (machine.boots, machine.fired_by_bmc) == (2, 1)
        assert machine.boot_devices == ["hd"], "its next boot was from disk"
        proof = json.loads((machine.root / "var/lib/ksbuild/fencing-proven").read_text())
        other = OTHER[name]
        assert proof["boots"] == [f"{other} boot 1", f"{other} boot 2"]
        assert proof["firings"] == 1
        for device in ("fence-justinian-1", "fence-julius-1"):
            path = machine.root / "etc/ksbuild/secrets" / device
            assert path.read_text() == secret(device.split("-")[1])
            assert path.stat().st_mode & 0o777 == 0o600
    said = caplog.text + json.dumps(machines["julius"].told.events)
    assert "fence_ipmilan" in said
    assert "canary" not in said
    assert "canary" not in record.PATH.name + (machines["julius"].root / record.PATH).read_text()


def test_a_bmc_that_is_our_own_is_never_fired_at(machines: dict[str, Machine]) -> None:
    """julius's BMC in the profile is really justinian's."""
    first = machines["justinian"]
    first.start_bmc()
    machines["julius"].start_bmc(guid=UUIDS["justinian"])
    for machine in machines.values():
        machine.switch_on()
    wait_until(lambda: first.refusal is not None)
    assert first.refusal
    assert "this node's own UUID" in first.refusal.evidence
    assert [machine.fired_by_bmc for machine in machines.values()] == [0, 0]


def test_a_firing_node_that_dies_between_off_and_on_switches_on_when_it_is_back(
    machines: dict[str, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = machines.values()
    dies, real = [True], Power.on

    def on(power: Power) -> None:
        if dies:
            dies.clear()
            first.switch_off()
            raise Killed
        real(power)

    monkeypatch.setattr(Power, "on", on)
    for machine in machines.values():
        machine.start_bmc()
        machine.switch_on()
    wait_until(lambda: first.power == "off" == second.power)
    first.switch_on()
    wait_until(lambda: proven(first) and proven(second), 120)
    assert second.fired_by_bmc == 1, "what was seen before the crash counts"


@pytest.mark.parametrize("agent", ["ipmilan", "ilo4", "ilo5"])
def test_power_by_the_real_agents(machines: dict[str, Machine], agent: str) -> None:
    first, second = machines.values()
    pair = first.identity.pair
    bmc = dataclasses.replace(pair.node("julius").fencing[0], agent=agent)
    julius = dataclasses.replace(pair.node("julius"), fencing=(bmc,))
    pair = dataclasses.replace(pair, nodes=(pair.nodes[0], julius))
    for machine in machines.values():
        machine.start_bmc()
    (first.root / "etc/ksbuild/secrets").mkdir()
    file = first.root / "etc/ksbuild/secrets/fence-julius-1"
    file.write_text(secret("julius"))
    devices = [d for d in fencedevice.devices(pair) if d.target == "julius"]
    power = Power(first.root, commands.run, devices)
    assert power.state() == OFF
    power.on()
    assert (power.state(), second.power) == (ON, "on")
    power.off()
    assert (power.state(), second.power) == (OFF, "off")
    assert [same(guid, UUIDS["julius"]) for guid in power.guids()] == [True]
    file.write_text("wrong")
    with pytest.raises(CommandError, match=f"fence_{agent} exited 1"):
        power.state()
    assert power.guids() == []
