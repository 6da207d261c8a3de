"""The whole chain, nothing typed: profile -> medium -> two installed nodes -> a mounted pair.

It is what `make lab` does, and the drill pull-power on the pair that came of it.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firstboot.node import SCHEMA, Identity, partition_uuid
from firstboot.render import render
from tests.lab import production
from tests.lab.bringup import Stock, a_pair, bring_up
from tests.lab.drilling import Drilling
from tests.lab.progress import Printed
from tests.lab.report import told_by, whole
from tests.uml import started
from tests.uml.disk import partitions
from tests.uml.images import Images
from tests.uml.installation import Verdict
from tests.uml.looks import LOOK, canaries, read_node, result
from tests.uml.pair import PROFILE, STATE, TestPair

pytestmark = [pytest.mark.uml, pytest.mark.timeout(3000)]

BOOT_S, AGAIN_S = 400.0, 900.0
NONCE = str(uuid.uuid4())


@pytest.fixture(scope="module")
def pair(
    pair_images: Images, el9_iso: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestPair]:
    folder = tmp_path_factory.mktemp("chain")
    with a_pair(Stock(el9_iso, pair_images), folder / "pair", PROFILE, description=NONCE) as made:
        yield made


@pytest.fixture(scope="module")
def installed(pair: TestPair) -> list[Verdict]:
    return pair.install_both()


@pytest.fixture(scope="module")
def report(pair: TestPair, installed: list[Verdict]) -> dict[str, Any]:
    """Switch both on, wait until both are complete; what `make lab` makes of it.

    They find each other once every program that they start is written down.
    """
    assert all(verdict.success for verdict in installed)
    for cable in pair.cables:
        pair.lab.pull_cable(cable)
    for server in pair.servers:
        server.outlet.switch_on()
    for server in pair.servers:
        server.outlet.wait_console("hears nothing of", BOOT_S)
        pair.on(server, started.command(pair.folder))
        pair.on(server, "sync")  # its power will be cut before long
    for cable in pair.cables:
        pair.lab.plug_cable(cable)
    watch = bring_up(pair, Printed())
    assert watch.complete, watch.stages
    told = {server.name: told_by(pair, server) for server in pair.servers}
    return whole(pair, watch, installed, told)


@pytest.fixture(scope="module")
def complete(pair: TestPair, report: dict[str, Any]) -> list[dict[str, str]]:
    """What LOOK answered once both were complete."""
    assert report["complete"]
    seen = [{n: pair.on(s, f"{c} || :") for n, c in LOOK.items()} for s in pair.servers]
    return [
        {**of, "console": server.outlet.console_text(), "boots": str(len(server.outlet.machines))}
        for of, server in zip(seen, pair.servers, strict=True)
    ]


@pytest.fixture(scope="module")
def drilled(pair: TestPair, complete: list[dict[str, str]]) -> dict[str, float]:
    """One node lost its power while both wrote, and all audits held; what was measured."""
    assert complete
    drill = Drilling(pair, Printed(), random.Random())  # noqa: S311 - either node
    production.pull_power(drill)
    return drill.figures


@pytest.fixture(scope="module")
def came_back(pair: TestPair, drilled: dict[str, float]) -> list[str]:
    """Both lose power at once and get it back; their GFS2 mounts, and a file for each other."""
    assert drilled
    for server in pair.servers:
        pair.on(server, f"echo before-{server.name} >/srv/vmdata/{server.name}; sync")
    for server in pair.servers:
        server.outlet.switch_off()
    for server in pair.servers:
        server.outlet.switch_on()
    for server in pair.servers:
        server.outlet.machine.wait_console("ksnode: mounted: ok", AGAIN_S)
    return [pair.on(server, "cat /srv/vmdata/just* /srv/vmdata/jul*") for server in pair.servers]


@pytest.fixture(scope="module")
def left(pair: TestPair, came_back: list[str]) -> list[dict[str, bytes]]:
    """Switch both off in an orderly way; what they left on their disks."""
    assert came_back
    for server in pair.servers:
        server.outlet.shut_down()
    return [read_node(pair, server) for server in pair.servers]


def test_both_are_installed(pair: TestPair, installed: list[Verdict]) -> None:
    for server, verdict in zip(pair.servers, installed, strict=True):
        assert verdict.success, verdict.reason + verdict.script_tail
        assert verdict.ending == "reboot"
        assert f"this is {server.name}" in "".join(verdict.logs.values())


def test_the_disk_is_as_planned(pair: TestPair, installed: list[Verdict]) -> None:
    assert installed
    for server in pair.servers:
        table = {p.name: p for p in partitions(server.disk)}
        system = [p for name, p in table.items() if name != "ks-data"]
        assert max(p.start + p.size for p in system) == 36 * 2**21
        data = table["ks-data"]
        assert data.start == 75499520  # first multiple of lcm(1 MiB, 5 x 256 KiB) behind 36 GiB
        assert data.uuid == partition_uuid(pair.plan.id, server.name, "data")
        assert data.start + data.size > (46 << 21) - 4096, "the rest of the disk is data"


def test_the_pair_is_mounted_and_measured(complete: list[dict[str, str]]) -> None:
    for seen in complete:
        device, place, kind, options, *_ = seen["mounts"].split()
        assert (device, place, kind) == ("/dev/drbd0", "/srv/vmdata", "gfs2")
        assert {"noatime", "nodiratime"} <= set(options.split(","))
        assert "Promoted: [" in seen["cluster"], seen["cluster"]
        assert "FAILED" not in seen["cluster"], seen["cluster"]
        assert "1959" in seen["report"]
        assert "DRBD's peers prove themselves by sha256" in seen["report"]
        assert "cluster links: 0 up, 1 up; aes256, sha256" in seen["report"]
        assert seen["report"].count("  cable ") == 2 * 3, seen["report"]
        assert "WARNING" not in seen["report"], seen["report"]
    assert complete[0]["report"] == complete[1]["report"]


def test_each_has_cut_the_others_power_once(
    report: dict[str, Any], complete: list[dict[str, str]]
) -> None:
    for log in report["bmcs"].values():
        assert sorted(word for _, word in log) == ["disk", "off", "on"]
    assert {seen["boots"] for seen in complete} == {"2"}, "one more than there would be without"


def test_the_report_of_the_lab(pair: TestPair, report: dict[str, Any]) -> None:
    assert report["nonce"] == NONCE, "through the profile to both nodes, and back"
    names = [server.name for server in pair.servers]
    assert list(report["nodes"]) == names
    for name in names:
        node = report["nodes"][name]
        assert node["result"]["verdict"] == "complete"
        assert set(node["report"]) == set(names)
        assert node["not_on_this_platform"] == ["firewall", "memory"]
        assert node["fencing_proven"]["peer"] != name
        cut = report["rehearsal"][name]
        assert 0 < cut["off"] < cut["on"] < report["stages_s"][name]["replication"]
    assert report["peak_mib"] < 5 * 1024


def test_a_node_that_lost_its_power_is_fenced_and_nothing_is_lost(
    drilled: dict[str, float],
) -> None:
    assert set(drilled) == {"longest write gap", "resynced, percent"}


def test_a_complete_node_has_nothing_to_do(complete: list[dict[str, str]]) -> None:
    for seen in complete:
        assert "missing" not in seen["dry"], seen["dry"]
        assert "KSNODE OK" in seen["dry"], seen["dry"]


def test_systemd_unmounts_nothing_before_the_cluster_has(complete: list[dict[str, str]]) -> None:
    for seen in complete:
        assert "resource-agents-deps.target" in seen["order"].split(), seen["order"]


def test_the_peers_host_key_is_known(complete: list[dict[str, str]]) -> None:
    for seen in complete:
        assert "Permission denied (publickey" in seen["ssh"], seen["ssh"]
        assert "Host key verification failed" not in seen["ssh"], seen["ssh"]


def test_the_agent_runs_with_what_its_unit_leaves_it(complete: list[dict[str, str]]) -> None:
    for seen in complete:
        told = dict(line.split(":\t") for line in seen["confined"].splitlines())
        assert told["Seccomp"] == "2", "filters are in force"
        capabilities = int(told["CapBnd"], 16)
        assert capabilities & 1 << 12, "CAP_NET_ADMIN"
        assert not capabilities & 1 << 25, "CAP_SYS_TIME"


def test_the_agent_is_small(complete: list[dict[str, str]]) -> None:
    for seen in complete:
        assert int(seen["rss"].split()[1]) < 40 * 1024, seen["rss"]  # KiB


def test_both_agents_met_on_the_same_plan(pair: TestPair, left: list[dict[str, bytes]]) -> None:
    verdicts = [result(files) for files in left]
    assert [v["verdict"] for v in verdicts] == ["complete", "complete"]
    assert [v["node"] for v in verdicts] == ["justinian", "julius"]
    assert [v["peer"] for v in verdicts] == ["julius", "justinian"]
    assert {v["digest"] for v in verdicts} == {pair.digest}
    for verdict in verdicts:
        steps = {name: step["event"] for name, step in verdict["steps"].items()}
        absent = {name for name, event in steps.items() if event == "absent"}
        assert absent == {"firewall", "memory"}
        assert set(steps.values()) <= {"ok", "done", "absent"}, steps


def test_the_node_runs_what_the_builder_renders(
    pair: TestPair, left: list[dict[str, bytes]]
) -> None:
    for server, files in zip(pair.servers, left, strict=True):
        for file in render(Identity(SCHEMA, server.name, pair.plan)):
            if not file.secrets:
                assert files[str(file.path)].decode() == file.text


def test_a_cut_of_both_ends_mounted_again(came_back: list[str]) -> None:
    assert came_back == ["before-justinian\nbefore-julius\n"] * 2


def test_no_program_is_started_with_a_secret(
    complete: list[dict[str, str]], left: list[dict[str, bytes]]
) -> None:
    """Of all that was started, the agent's or not; but for what docs/promises.md lists."""
    assert complete
    secrets, shown = canaries(left), set()
    for files in left:
        boots = [text for path, text in files.items() if path.startswith(started.KEPT)]
        programs = [program for boot in boots for program in started.read(boot)]
        assert {p.name for p in programs} >= {"openssl", "drbdadm", "corosync", "cibadmin"}
        shown |= started.showing(programs, secrets)
    assert shown == {
        ("ipmitool", "-P", "fence_ipmilan"),
        ("drbdsetup-84", "--shared-secret=", "drbdadm"),  # of DRBD 9: drbdsetup
    }


def test_no_secret_shows(complete: list[dict[str, str]], left: list[dict[str, bytes]]) -> None:
    """Of what a node keeps: not in the journal, the reports, the CIB, or a file others can read."""
    secrets = canaries(left)
    for seen, files in zip(complete, left, strict=True):
        told = {"cib": seen["cib"].encode(), "cluster": seen["cluster"].encode()}
        told |= {path: text for path, text in files.items() if path.startswith(f"{STATE}/")}
        told |= {path: files[path] for path in seen["readable"].split() if path in files}
        # Every program the agent starts stands on the console with its arguments.
        told |= {"console": seen["console"].encode()}
        assert len(told) > 50
        assert not [(p, c) for p, text in told.items() for c in secrets if c in text]


def test_a_complete_node_boots_alone_and_stays_complete(
    pair: TestPair, left: list[dict[str, bytes]]
) -> None:
    """It starts no cluster without its peer, says so, and changes nothing."""
    server = pair.servers[0]
    server.outlet.switch_on()
    machine = server.outlet.machine
    for step in ("uplink", "host", "crossover", "rendezvous"):
        machine.wait_console(f"ksnode: {step}: ok", AGAIN_S)
    machine.wait_console("ksnode start-alone", AGAIN_S)
    tried = pair.on(server, "grep -c gfs2 /proc/mounts; touch /srv/vmdata/image 2>&1 || :")
    machine.shut_down()
    assert tried.startswith("0\n")
    assert "Operation not permitted" in tried, "an image would fill the system's own disk"
    again = read_node(pair, server)
    assert again[f"{STATE}/RESULT"] == left[0][f"{STATE}/RESULT"]
    changed = {p for p in again if again[p] != left[0].get(p) and p.startswith("/etc/")}
    assert changed <= {"/etc/issue.d/ksnode.issue"}, changed
