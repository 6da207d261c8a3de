"""ksnode health: colours from what the machine's own programs and files say, and who is told."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from firstboot import health, latches, monitoring, pacemaker
from firstboot.commands import CommandError, Result
from firstboot.exits import WARNING
from firstboot.health import GREEN, RED, YELLOW, Finding
from firstboot.node import Identity
from firstboot.verbs.health import findings, look, tell
from tests.firstboot.conftest import ONE_PYTHON, ScriptedRun, an_identity
from tests.firstboot.test_machine import listed
from tests.firstboot.test_pacemaker import recorded
from tests.firstboot.test_render_cluster import ROOTLESS

HERE = Path(__file__).parent
UPLINK = "52:54:00:01:00:00"
UPDATE = "attrd_updater --name '#health-ks-raid' --update red"
QUERY = "attrd_updater --query --name '#health-ks-raid'"
BROKEN = Finding("raid", RED, "logicaldrive 1 is Failed")


@dataclass
class Machine:
    """A node whose programs answer with what they were recorded to say."""

    root: Path
    raid: str = "hpacucli-article.txt"
    drbd: str = "proc-drbd-8.4.11-in-sync"
    told: "list[str]" = field(default_factory=list)
    clustered: bool = True
    lost: "set[str]" = field(default_factory=set)
    disk: str = "assumed-ata-worn.json"
    supply: str = "95 Watts, Presence detected"
    told_before_the_disks: "list[str]" = field(default_factory=list)

    def lay(self) -> None:
        """Everything in order."""
        (self.root / "usr/sbin").mkdir(parents=True)
        (self.root / "usr/sbin/hpacucli").touch()
        (self.root / "proc").mkdir()
        self.replicate(self.drbd)
        for port in ("eth0", "eth1", "eth2", "eth3"):
            self.plug(port, "1")
        (self.root / "sys/class/net/bond0/bonding").mkdir(parents=True)
        (self.root / "sys/class/net/bond0/bonding/slaves").write_text("eth1 eth2 eth3")
        latches.set_once(self.root, latches.COMPLETE, "")

    def replicate(self, recorded: str) -> None:
        (self.root / "proc/drbd").write_text((HERE / "recorded" / recorded).read_text())

    def plug(self, port: str, carrier: str) -> None:
        folder = self.root / "sys/class/net" / port
        (folder / "bonding_slave").mkdir(parents=True, exist_ok=True)
        (folder / "carrier").write_text(f"{carrier}\n")
        (folder / "bonding_slave/mii_status").write_text("up" if carrier == "1" else "down")

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: "str | None" = None,
        ok: "tuple[int, ...]" = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del stdin, timeout_s
        links = [
            {"ifname": f"eth{n}", "link_type": "ether", "address": f"52:54:00:01:00:0{n}"}
            for n in range(4)
            if f"eth{n}" not in self.lost
        ]
        code, text = 0, ""
        if argv[0] == "ip":
            text = json.dumps(links)
        elif argv[0] == "hpacucli":
            text = (HERE / "raid" / self.raid).read_text()
        elif argv[0] == "ipmitool":
            text = listed(self.supply)
        elif argv[0] == "smartctl":
            self.told_before_the_disks = list(self.told)
            found = json.loads((HERE / "smart" / self.disk).read_text())
            text = json.dumps({**found, "devices": [{"name": "/dev/sda", "type": "sat"}]})
            code = found["smartctl"]["exit_status"]
        else:
            assert argv[0] == "attrd_updater", argv
            code = (78 if "--query" in argv else 0) if self.clustered else 102
            if "--update" in argv:
                self.told.append(f"{argv[2]}={argv[4]}")
        assert code in ok
        return Result(tuple(argv), code, text, "")


@pytest.fixture
def identity() -> Identity:
    return an_identity(platform="debian12-lab")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.lay()
    return machine


def colours(identity: Identity, machine: Machine) -> "dict[str, str]":
    return {found.part: found.colour for found in findings(identity, machine.root, machine)}


WELL = {"raid": GREEN, "drbd": GREEN, "uplink": GREEN, "crossover": GREEN}


def test_a_node_in_order(identity: Identity, machine: Machine) -> None:
    assert colours(identity, machine) == WELL


def test_a_degraded_array_is_red(identity: Identity, machine: Machine) -> None:
    machine.raid = "assumed-ssacli-degraded.txt"
    assert colours(identity, machine) == {**WELL, "raid": RED}


def test_a_machine_without_such_a_controller_has_no_such_part(
    identity: Identity, machine: Machine
) -> None:
    (machine.root / "usr/sbin/hpacucli").unlink()
    assert colours(identity, machine).keys() == WELL.keys() - {"raid"}


def with_tools(machine: Machine) -> None:
    """smartctl and a BMC."""
    for name in ("usr/sbin/smartctl", "usr/bin/ipmitool", "dev/ipmi0"):
        (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / name).touch()


def test_disks_and_sensors_where_something_asks_them(identity: Identity, machine: Machine) -> None:
    with_tools(machine)
    assert colours(identity, machine) == {**WELL, "sensors": GREEN, "disks": YELLOW}
    limits = replace(identity.pair.monitoring, disk_worn_percent=98)
    tolerant = replace(identity, pair=replace(identity.pair, monitoring=limits))
    assert colours(tolerant, machine)["disks"] == GREEN, "the thresholds are the profile's"
    machine.disk = "assumed-ata-failing.json"
    machine.supply = "0 Watts, Presence detected, Failure detected"
    assert colours(identity, machine) == {**WELL, "sensors": YELLOW, "disks": RED}
    quiet = replace(limits, quiet_sensors=("Power Supply 1",))
    deaf = replace(identity, pair=replace(identity.pair, monitoring=quiet))
    assert colours(deaf, machine)["sensors"] == GREEN


def test_a_disk_that_takes_its_time_keeps_nothing_back(
    identity: Identity, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstboot.verbs.health.run", machine)
    with_tools(machine)
    assert look(identity, machine.root, argparse.Namespace(tell=True)) == 0
    assert len(machine.told_before_the_disks) == len(machine.told) - 1
    assert machine.told[-1] == "#health-ks-disks=yellow"


def test_old_data_is_red_where_the_other_has_new(identity: Identity, machine: Machine) -> None:
    machine.replicate("proc-drbd-8.4.11-target")
    assert colours(identity, machine)["drbd"] == RED
    machine.replicate("proc-drbd-8.4.11-source")
    assert colours(identity, machine)["drbd"] == GREEN
    (machine.root / "proc/drbd").write_text("version: 8.4.11\n")
    assert colours(identity, machine)["drbd"] == "", "which happens while it starts"
    (machine.root / "proc/drbd").write_text(" 0: cs:What\n")
    assert colours(identity, machine)["drbd"] == ""


def test_a_lost_uplink_is_red_and_a_crossover_is_not(identity: Identity, machine: Machine) -> None:
    machine.plug("eth0", "0")
    assert colours(identity, machine) == {**WELL, "uplink": RED}
    for port in ("eth1", "eth2", "eth3"):
        machine.plug(port, "0")
    assert colours(identity, machine)["crossover"] == YELLOW


def test_a_lost_port_is_red(identity: Identity, machine: Machine) -> None:
    """The card died: no port has that MAC any more."""
    machine.lost = {"eth0"}
    assert colours(identity, machine) == {**WELL, "uplink": RED}


def test_one_of_two_uplinks_is_yellow() -> None:
    assert health.uplink({"eth0": True, "eth4": False}).colour == YELLOW
    assert health.uplink({}).colour == ""


@ONE_PYTHON
def test_ports_as_the_kernel_shows_them() -> None:
    """One that is down, one whose cable is out, one with a link; sysfs can't read the first."""
    ask = "from firstboot.facts import carrier; from pathlib import Path;"
    ask += "print([carrier(Path('/'), port) for port in ('p0', 'p1', 'p2')])"
    script = (
        "for n in p0 p1 p2; do ip link add $n type veth peer name x$n; done;"
        " ip link set p1 up; ip link set p2 up; ip link set xp2 up; mount -t sysfs sysfs /sys;"
        f' {sys.executable} -c "{ask}"'
    )
    done = subprocess.run(
        [*ROOTLESS, "sh", "-ec", script],
        capture_output=True, text=True, check=True, cwd=HERE.parents[1],
    )  # fmt: skip
    assert done.stdout == "[False, False, True]\n"


def test_pacemaker_is_told_what_changed(identity: Identity) -> None:
    run = ScriptedRun().expect(QUERY, returncode=78).expect(UPDATE)
    assert tell(identity, BROKEN, run)
    both = (
        'name="#health-ks-raid" host="{}" value="red"\n'
        'name="#health-ks-raid" host="{}" value="green"\n'
    )
    run.expect(QUERY, both.format("justinian", "julius"))
    assert not tell(identity, BROKEN, run)
    run.expect(QUERY, both.format("julius", "justinian")).expect(UPDATE)
    assert tell(identity, BROKEN, run)
    run.expect(QUERY, returncode=102)
    assert not tell(identity, BROKEN, run), "no cluster runs"
    assert not tell(identity, Finding("raid", "", "no tool"), run)
    with pytest.raises(CommandError):
        tell(identity, BROKEN, run.expect(QUERY).expect(UPDATE, returncode=1))
    run.assert_finished()


def test_people_look_and_the_timer_tells(
    identity: Identity,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("firstboot.verbs.health.run", machine)
    machine.plug("eth0", "0")
    assert look(identity, machine.root, argparse.Namespace(tell=False)) == 0
    assert "uplink: red: no link on eth0\n" in capsys.readouterr().out
    assert machine.told == []
    assert look(identity, machine.root, argparse.Namespace(tell=True)) == 0
    assert "ksnode: uplink is red: no link on eth0\n" in capsys.readouterr().out
    assert machine.told == [
        "#health-ks-raid=green",
        "#health-ks-drbd=green",
        "#health-ks-uplink=red",
        "#health-ks-crossover=green",
    ]


def test_a_node_that_is_being_set_up_tells_nothing(
    identity: Identity, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine.root / "var/lib/ksbuild/complete").unlink()
    assert look(identity, machine.root, argparse.Namespace(tell=True)) == 5
    assert "not complete" in capsys.readouterr().err


def test_monitoring_is_told_as_pacemaker_tells_it(identity: Identity) -> None:
    state = pacemaker.parse(recorded("unhealthy"))
    assert state.unhealthy == {"julius"}
    reading = monitoring.cluster(identity, state)
    assert reading.level == WARNING
    assert "julius is in bad health (ksnode health)" in reading.text
    assert state.runs("vm1", "justinian")
