"""The whole chain, nothing typed: profile -> medium -> two installed nodes -> agents that meet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firstboot.node import SCHEMA, Identity, partition_uuid
from firstboot.render import render
from tests.uml.disk import partitions, read_files
from tests.uml.images import Images
from tests.uml.installation import Verdict
from tests.uml.lab import Lab
from tests.uml.pair import STATE, Server, TestPair, build_medium

pytestmark = [pytest.mark.uml, pytest.mark.timeout(900)]

MEET_S = 240.0


@pytest.fixture(scope="module")
def pair(
    pair_images: Images, el9_iso: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestPair]:
    folder = tmp_path_factory.mktemp("chain")
    medium = build_medium(el9_iso, folder / "pair.iso", folder / "keys")
    with Lab() as lab:
        made = TestPair(lab, pair_images, medium, folder / "servers")
        yield made
    made.close()


@pytest.fixture(scope="module")
def installed(pair: TestPair) -> list[Verdict]:
    return pair.install_both()


@pytest.fixture(scope="module")
def met(pair: TestPair, installed: list[Verdict]) -> list[dict[str, bytes]]:
    """Switch both on, wait for their agents, switch them off, read what they left."""
    assert all(verdict.success for verdict in installed)
    outlets = [server.outlet for server in pair.servers]
    for outlet in outlets:
        outlet.switch_on()
    for outlet in outlets:
        outlet.wait_console("ksnode: complete", MEET_S)
    for outlet in outlets:
        outlet.shut_down()
    return [read_node(pair, server) for server in pair.servers]


def read_node(pair: TestPair, server: Server) -> dict[str, bytes]:
    own = ("NetworkManager", "ksbuild", "hosts", "chrony.conf", "ssh", "sysctl.d", "udev/rules.d")
    paths = [STATE, *(f"/etc/{name}" for name in own)]
    return read_files(pair.images, server.disk, pair.root_number(server), paths)


def result(files: dict[str, bytes]) -> dict[str, Any]:
    read = json.loads(files[f"{STATE}/RESULT"])
    assert isinstance(read, dict)
    return read


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


def test_both_agents_met_on_the_same_plan(pair: TestPair, met: list[dict[str, bytes]]) -> None:
    verdicts = [result(files) for files in met]
    assert [v["verdict"] for v in verdicts] == ["complete", "complete"]
    assert [v["node"] for v in verdicts] == ["justinian", "julius"]
    assert [v["peer"] for v in verdicts] == ["julius", "justinian"]
    assert {v["digest"] for v in verdicts} == {pair.digest}
    for verdict in verdicts:
        steps = {name: step["event"] for name, step in verdict["steps"].items()}
        assert steps.pop("crossover") in {"done", "ok"}  # ok: it took a second attempt
        ours = {"uplink": "done", "host": "done"}
        assert steps == {"preflight": "ok", "firewall": "absent", "rendezvous": "done", **ours}


def test_the_node_runs_what_the_builder_renders(
    pair: TestPair, met: list[dict[str, bytes]]
) -> None:
    for server, files in zip(pair.servers, met, strict=True):
        for file in render(Identity(SCHEMA, server.name, pair.plan)):
            assert files[str(file.path)].decode() == file.text


def test_a_complete_node_boots_alone_and_stays_complete(
    pair: TestPair, met: list[dict[str, bytes]]
) -> None:
    """It waits for nobody, changes nothing, and its bond is up as it was."""
    server = pair.servers[0]
    server.outlet.switch_on()
    machine = server.outlet.machine
    for step in ("uplink", "host", "crossover", "rendezvous"):
        machine.wait_console(f"ksnode: {step}: ok", MEET_S)
    machine.shut_down()
    again = read_node(pair, server)
    assert again[f"{STATE}/RESULT"] == met[0][f"{STATE}/RESULT"]
    changed = {path for path in again if again[path] != met[0].get(path)}
    assert changed == {f"{STATE}/status.json", f"{STATE}/journal.jsonl"}
