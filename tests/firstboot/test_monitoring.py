"""What monitoring is told: levels, lines and numbers, and that real readers take them."""

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from firstboot import drbd, latches, machine, monitoring
from firstboot.__main__ import main
from firstboot.commands import CommandError, Result
from firstboot.exits import CRITICAL, OK, UNKNOWN, WARNING
from firstboot.monitoring import Reading
from firstboot.node import to_json
from firstboot.pacemaker import Cluster
from firstboot.raid import parse
from firstboot.sensors import Sensor
from firstboot.smart import Disk
from firstboot.verbs.checking import SOURCES
from tests.firstboot.conftest import LIMITS, an_identity
from tests.firstboot.test_machine import SERVING
from tests.firstboot.test_steps import lay

RECORDED = Path(__file__).parent / "recorded"
ROOT = Path(__file__).parents[2]
SMART = Path(__file__).parent / "smart"
PRIMARY = drbd.parse_proc((RECORDED / "proc-drbd-8.4.11-primary").read_text())
SOUND = Cluster(
    quorate=True,
    online=frozenset({"justinian", "julius"}),
    unclean=frozenset(),
    active=frozenset(),
    watched=frozenset(),
    stopped=frozenset(),
    failures=(),
)


def numbers(reading: Reading) -> dict[str, float]:
    return {n.gauge + (f"{{{n.label}}}" if n.label else ""): n.value for n in reading.numbers}


def test_replication_as_a_kernel_told_it() -> None:
    assert monitoring.replication(None).level == CRITICAL
    for name, level, up_to_date in (
        ("in-sync", WARNING, 1.0),  # and nobody is primary
        ("source", WARNING, 1.0),
        ("target", CRITICAL, 0.0),
        ("connecting", None, None),
    ):
        seen = drbd.parse_proc((RECORDED / f"proc-drbd-8.4.11-{name}").read_text())
        reading = monitoring.replication(seen)
        assert reading.level in ((level,) if level is not None else (WARNING, CRITICAL)), name
        told = numbers(reading)
        if up_to_date is not None:
            assert told["replication_up_to_date"] == up_to_date, name
        assert ("replication_sync_percent" in told) == (name in ("source", "target"))
        assert "; next: " in reading.text


def test_replication_levels() -> None:
    assert PRIMARY is not None
    whole = dataclasses.replace(
        PRIMARY, connected=True, replication="Connected", role="Primary", peer_role="Primary",
        disk="UpToDate", peer_disk="UpToDate", percent=None, eta_s=None,
    )  # fmt: skip
    assert monitoring.replication(whole).level == OK
    for change, level in (
        ({"connected": False, "replication": "WFConnection", "peer_disk": "DUnknown"}, WARNING),
        ({"peer_disk": "Outdated"}, WARNING),
        ({"role": "Secondary"}, WARNING),
        ({"connected": False, "replication": "StandAlone"}, CRITICAL),
        ({"disk": "Diskless"}, CRITICAL),
    ):
        assert monitoring.replication(dataclasses.replace(whole, **change)).level == level, change


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({}, OK, "both nodes online"),
        ({"quorate": False}, CRITICAL, "no quorum"),
        ({"unclean": frozenset({"julius"})}, CRITICAL, "julius is to be fenced"),
        ({"online": frozenset({"justinian"})}, WARNING, "julius is not online"),
        ({"failures": ("ks-dlm start on julius",)}, WARNING, "ks-dlm start on julius"),
    ],
)
def test_cluster(change: dict[str, object], level: int, said: str) -> None:
    reading = monitoring.cluster(an_identity(), dataclasses.replace(SOUND, **change))  # type: ignore[arg-type]
    assert reading.level == level
    assert said in reading.text
    assert numbers(reading)["cluster_quorate"] == float("quorate" not in change)


def test_no_pacemaker_is_critical() -> None:
    assert monitoring.cluster(an_identity(), None).level == CRITICAL


@pytest.mark.parametrize(
    ("up", "level"),
    [
        ({0: True, 1: True}, OK),
        ({0: False, 1: True}, WARNING),
        ({0: True}, WARNING),
        ({0: False, 1: False}, CRITICAL),
        ({}, CRITICAL),
    ],
)
def test_links(up: dict[int, bool], level: int) -> None:
    reading = monitoring.links(up)
    assert reading.level == level
    assert numbers(reading) == {
        'cluster_link_up{link="the bond"}': float(up.get(0, False)),
        'cluster_link_up{link="the uplink"}': float(up.get(1, False)),
    }


@pytest.mark.parametrize(
    ("up", "level", "said"),
    [
        ({"eth1": True, "eth2": True, "eth3": True}, OK, "3 of 3"),
        ({"eth1": True, "eth2": False, "eth3": True}, WARNING, "2 of 3.*none on eth2"),
        ({"eth1": True}, WARNING, "1 of 3"),
        ({"eth1": False, "eth2": False, "eth3": False}, CRITICAL, "0 of 3"),
        ({}, CRITICAL, "0 of 3"),
    ],
)
def test_cables(up: dict[str, bool], level: int, said: str) -> None:
    reading = monitoring.cables(an_identity(), up)
    assert reading.level == level
    assert re.search(said, reading.text)


@pytest.mark.parametrize(
    ("used", "level"), [(0, OK), (799, OK), (800, WARNING), (899, WARNING), (900, CRITICAL)]
)
def test_a_full_file_system(used: int, level: int) -> None:
    reading = monitoring.file_system("/srv/vmdata", True, 1000, used, LIMITS)
    assert reading.level == level
    assert numbers(reading)["filesystem_used_bytes"] == used


WORN = Disk("/dev/bus/0 megaraid,4", "S1", "", False, 31, 99, 0)


def all_readings() -> dict[str, Reading]:
    return {
        "replication": monitoring.replication(PRIMARY),
        "cluster": monitoring.cluster(an_identity(), SOUND),
        "links": monitoring.links({0: True, 1: False}),
        "cables": monitoring.cables(an_identity(), {"eth1": True, "eth2": False}),
        "file-system": monitoring.file_system("/srv/vmdata", True, 1 << 40, 1 << 30, LIMITS),
        "memory": monitoring.memory(12.5),
        "selinux": monitoring.denials(["avc: denied | { read }"]),
        "raid": monitoring.raid(parse("logicaldrive 1 (1 GB, RAID 5, OK)"), "ssacli"),
        "disks": machine.disks([WORN], LIMITS),
        "sensors": machine.sensors([Sensor("Temp 1", "unc", "42.50 degrees C")]),
        "root": monitoring.file_system("/", True, 1000, 850, LIMITS, "root"),
        "clock": machine.clock(0.001, LIMITS),
    }


def test_prometheus_reads_it() -> None:
    text = monitoring.metrics(all_readings())
    program = (
        "import sys; from prometheus_client.parser import text_string_to_metric_families as f\n"
        "for m in f(sys.stdin.read()):\n for s in m.samples: print(s.name, s.labels, s.value)"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program], input=text, text=True, capture_output=True, check=True
    )
    read = done.stdout.splitlines()
    assert "ksbuild_check_level {'subsystem': 'links'} 1.0" in read
    assert "ksbuild_cable_up {'port': 'eth2'} 0.0" in read
    assert "ksbuild_disk_worn_percent {'disk': '/dev/bus/0 megaraid,4'} 99.0" in read
    assert "ksbuild_sensor_celsius {'sensor': 'Temp 1'} 42.5" in read
    assert f"ksbuild_memory_saved_bytes {{}} {12.5 * (1 << 20)}" in read
    assert len(read) == len([line for line in text.splitlines() if line[0] != "#"])
    told = {n.gauge for reading in all_readings().values() for n in reading.numbers}
    assert told <= monitoring.GAUGES.keys()


def test_every_gauge_and_part_is_in_the_manual() -> None:
    manual = (ROOT / "docs/reference.md").read_text()
    for gauge, meaning in monitoring.GAUGES.items():
        assert f"| `ksbuild_{gauge}` | {meaning}".lower() in manual.lower()
    for subsystem in SOURCES:
        assert f"`{subsystem}`" in manual


def test_nagios_reads_it() -> None:
    """One line; one bar; each of the performance data is 'label'=number (plugin guidelines 2.6)."""
    for name, reading in all_readings().items():
        line = monitoring.line(name, "justinian", reading)
        text, _, data = line.partition(" | ")
        assert "\n" not in line
        assert "|" not in data
        assert text.startswith(f"KSNODE {name.upper()} ")
        for each in re.findall(r"('[^']+'|\S+)=(\S+)", data):
            float(each[1])
        assert re.fullmatch(r"('[^'=]+'=[-0-9.e+]+ ?)*", data)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A complete node of a platform with everything, whose programs answer as they should."""
    lay(tmp_path, "etc/ksbuild/node.json", to_json(an_identity()))
    lay(tmp_path, "proc/mounts", "/dev/drbd0 /srv/vmdata gfs2 rw,noatime,nodiratime 0 0")
    lay(tmp_path, "proc/drbd", "version: 9.1.0\n")
    lay(tmp_path, "sys/class/net/bond0/bonding/slaves", "eth1 eth2 eth3")
    for port in ("eth1", "eth2", "eth3"):
        lay(tmp_path, f"sys/class/net/{port}/bonding_slave/mii_status", "up")
    lay(tmp_path, "sys/kernel/mm/ksm/pages_sharing", "256")
    lay(tmp_path, "usr/sbin/smartctl", "")
    latches.set_once(tmp_path, latches.COMPLETE, "")
    return tmp_path


def worn_disk() -> str:
    """smartctl's answer to both questions: which disks, and how that one is."""
    told = json.loads((SMART / "assumed-ata-worn.json").read_text())
    return json.dumps({**told, "devices": [{"name": "/dev/sda", "type": "sat"}]})


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str]) -> None:
    def run(argv: Sequence[str], **_: object) -> Result:
        if argv[0] not in answers:
            raise CommandError(Result(tuple(argv), 127, "", "not installed"))
        return Result(tuple(argv), 0, answers[argv[0]], "")

    monkeypatch.setattr("firstboot.verbs.checking.run", run)


SOUND_XML = """<pacemaker-result><summary><current_dc with_quorum="true"/></summary><nodes>
<node name="justinian" online="true" pending="false" unclean="false"/>
<node name="julius" online="true" pending="false" unclean="{}"/></nodes></pacemaker-result>"""
LINKS = "LINK ID 0 udp\n\tnodeid: 2:\tconnected\nLINK ID 1 udp\n\tnodeid: 2:\tdisconnected\n"


def test_each_part_by_itself(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        "corosync-cfgtool": LINKS,
        "crm_mon": SOUND_XML.format("false"),
        "ausearch": "",
        "chronyc": SERVING,
        "smartctl": worn_disk(),
        "drbdsetup": (RECORDED / "assumed-drbdsetup-status-9.json").read_text(),
    }
    answering(monkeypatch, answers)
    almost_full = os.statvfs_result((4096, 4096, 1000, 150, 150, 0, 0, 0, 0, 255))
    disks = {node / "srv/vmdata": almost_full, node: almost_full}
    monkeypatch.setattr(os, "statvfs", disks.__getitem__)
    came = {name: main(["--root", str(node), "check", name]) for name in SOURCES}
    said = capsys.readouterr().out
    assert len(said.splitlines()) == len(SOURCES)
    assert came["links"] == came["file-system"] == came["root"] == came["disks"] == WARNING
    assert "/dev/sda (SSD-1) is worn to 97%; next: smartctl --scan-open" in said
    assert came["cluster"] == came["cables"] == came["memory"] == came["selinux"] == OK
    assert "85% full" in said
    assert came["raid"] == came["sensors"] == UNKNOWN
    assert came["clock"] == OK
    assert "RAID UNKNOWN - justinian: not on this platform" in said
    assert main(["--root", str(node), "check", "--metrics"]) == 0
    told = capsys.readouterr().out
    assert 'ksbuild_check_level{subsystem="links"} 1' in told
    assert "raid" not in told
    assert "ksbuild_memory_saved_bytes 1048576\n" in told


def test_a_frozen_file_system_is_not_asked(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, {"crm_mon": SOUND_XML.format("true")})
    assert main(["--root", str(node), "check", "file-system"]) == UNKNOWN
    assert "may be frozen" in capsys.readouterr().out


def test_what_does_not_answer_is_unknown(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, {})
    assert main(["--root", str(node), "check", "links"]) == UNKNOWN
    assert "cannot be looked at: corosync-cfgtool -s exited 127" in capsys.readouterr().out
    (node / "var/lib/ksbuild/complete").unlink()
    assert main(["--root", str(node), "check", "cables"]) == UNKNOWN
    assert "not complete yet" in capsys.readouterr().out
