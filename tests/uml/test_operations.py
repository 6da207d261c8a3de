"""What a human types on a pair that is complete: rehearse, go on alone, apply, start over. Slow."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.lab.bringup import Stock, complete_pair
from tests.lab.operations import GUEST, NO_GUEST, PREFER, WHERE, moves
from tests.lab.writer import Writer
from tests.uml.images import Images
from tests.uml.pair import KSBUILD, PROFILE, TestPair

pytestmark = [pytest.mark.uml, pytest.mark.slow, pytest.mark.timeout(3600)]

COMPLETE_S, AGAIN_S, APPLY_S = 1500.0, 900.0, 400.0


@pytest.fixture(scope="module")
def pair(
    pair_images: Images, el9_iso: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestPair]:
    """A complete pair with a file on it, both nodes running; 4 GiB of data, all resynced once."""
    stock, folder = Stock(el9_iso, pair_images), tmp_path_factory.mktemp("operations")
    small = folder / "small.toml"
    small.write_text(re.sub(r"size_gib = \[.*?\]", "size_gib = [38, 42]", PROFILE.read_text()))
    with complete_pair(stock, folder / "pair", small, disk_gib=40) as made:
        yield made


def test_a_complete_pair_rehearses_through_its_cluster(pair: TestPair) -> None:
    first, second = pair.servers
    boots, offs = len(second.outlet.machines), pair.bmcs[1].told("off")
    said = pair.on(first, "ksnode rehearse julius", timeout=AGAIN_S)
    assert "justinian can cut julius's power" in said
    assert len(second.outlet.machines) == boots + 1
    assert pair.bmcs[1].told("off") == offs + 1
    assert pair.bmcs[0].told("off") == 1, "nobody fenced back"
    assert pair.on(second, "cat /srv/vmdata/file") == "kept\n"


def test_a_node_is_switched_off_and_its_guest_moves_live(pair: TestPair) -> None:
    first, second = pair.servers
    offs = [bmc.told("off") for bmc in pair.bmcs]
    pair.on(first, f"{GUEST}\ncrm_resource --wait; {PREFER} julius; crm_resource --wait")
    pair.on(first, "crm_resource --resource vm1 --clear")
    before = moves(pair)
    assert pair.on(second, "ksnode poweroff --dry-run").startswith("ksnode: vm1 moves to justinian")
    pair.on(second, "systemd-run --quiet /usr/local/sbin/ksnode poweroff")
    assert second.outlet.machine.wait_off(AGAIN_S) == 0
    assert pair.on(first, WHERE).split() == ["justinian"]
    pair.on(first, "echo off >/srv/vmdata/off; sync")
    second.outlet.switch_on()
    second.outlet.machine.wait_console("ksnode: mounted: ok", AGAIN_S)
    assert pair.on(second, "cat /srv/vmdata/off") == "off\n"
    assert moves(pair) == before + 1
    assert [bmc.told("off") for bmc in pair.bmcs] == offs, "somebody was fenced"


def test_a_pair_is_switched_off_and_its_guest_stops_once(pair: TestPair) -> None:
    offs, before = [bmc.told("off") for bmc in pair.bmcs], moves(pair)
    for server in pair.servers:
        pair.on(server, "systemd-run --quiet /usr/local/sbin/ksnode poweroff --pair")
    for server in pair.servers:
        assert server.outlet.machine.wait_off(AGAIN_S) == 0
    for server in pair.servers:
        server.outlet.switch_on()
    for server in pair.servers:
        server.outlet.machine.wait_console("ksnode: mounted: ok", AGAIN_S)
        assert "Replaying journal" not in pair.on(server, "dmesg")
    pair.on(pair.servers[0], "crm_resource --wait")
    assert pair.on(pair.servers[0], WHERE).split() in (["justinian"], ["julius"])
    assert moves(pair) == before
    assert [bmc.told("off") for bmc in pair.bmcs] == offs, "somebody was fenced"
    pair.on(pair.servers[0], NO_GUEST)


def test_one_node_goes_on_alone_when_told_that_the_other_is_off(pair: TestPair) -> None:
    first, second = pair.servers
    for server in pair.servers:
        server.outlet.switch_off()
    first.outlet.switch_on()
    first.outlet.machine.wait_console("ksnode start-alone julius", AGAIN_S)
    assert "vmdata" not in pair.on(first, "cat /proc/mounts")
    pair.on(first, "ksnode start-alone julius", timeout=AGAIN_S)
    assert pair.on(first, "cat /srv/vmdata/file") == "kept\n"
    pair.on(first, "echo alone >/srv/vmdata/alone; sync")
    # Fencing gave it its power back; its gate lets it in, and DRBD brings it up to date.
    second.outlet.switch_on()
    second.outlet.machine.wait_console("ksnode: mounted: ok", AGAIN_S)
    assert pair.on(second, "cat /srv/vmdata/alone") == "alone\n"


def send_plan(pair: TestPair, name: str, text: str) -> str:
    """`ksbuild plan --out` of a profile's text, copied to both nodes; where it lies there."""
    folder = pair.medium.parent
    (folder / f"{name}.toml").write_text(text)
    argv = [KSBUILD, "plan", folder / f"{name}.toml", "--out", folder / f"{name}.plan"]
    subprocess.run([*map(str, argv)], check=True, capture_output=True)
    plan = (folder / f"{name}.plan").read_text()
    for server in pair.servers:
        pair.on(server, f"cat >/root/{name}.plan <<'EOF'\n{plan}EOF\n")
    return f"/root/{name}.plan"


def test_a_vlan_on_both_while_they_write_and_a_wrong_change_put_back(pair: TestPair) -> None:
    profile = pair.profile.read_text()
    vlan = send_plan(pair, "vlan", f'{profile}\n[[bridge]]\nname = "br0.9"\nvlan = 9\n')
    wrong = send_plan(pair, "wrong", profile.replace("10.9.0.254", "10.9.0.250"))
    former = send_plan(pair, "former", profile)
    writers = [Writer(pair, server, f"apply-{server.name}") for server in pair.servers]
    try:
        for server in pair.servers:
            assert "+ bridges.br0.9" in pair.on(server, f"ksnode apply {vlan}", timeout=APPLY_S)
            assert "br0.9" in pair.on(server, "ip -br link show master br0.9; ip -br link")
        before = pair.on(pair.servers[0], "cat /etc/ksbuild/node.json")
        said = pair.on(pair.servers[0], f"ksnode apply {wrong} 2>&1 || echo $?", timeout=APPLY_S)
        assert "not reached any more within 60 s: the gateway" in said
        assert said.endswith("\n5\n")
        assert "via 10.9.0.254 " in pair.on(pair.servers[0], "ip route show default")
        assert pair.on(pair.servers[0], "cat /etc/ksbuild/node.json") == before
        for server in pair.servers:
            pair.on(server, f"ksnode apply {former}", timeout=APPLY_S)
            assert "br0.9" not in pair.on(server, "ip -br link")
    finally:
        for writer in writers:
            writer.stop()
    for writer, server in product(writers, pair.servers):
        assert writer.acknowledged > 100
        assert writer.loss(pair.on, server).missing == 0


def test_a_pair_starts_over(pair: TestPair) -> None:
    """Typed on both, the attempt is forgotten, and they become a pair once more."""
    for server in pair.servers:
        told = pair.on(server, f"ksnode reset --node {server.name} 2>&1 || :")
        assert f"ksnode reset --node {server.name} --cluster lab" in told
    for server in pair.servers:
        command = f"ksnode reset --node {server.name} --cluster lab"
        assert "is as it was installed" in pair.on(server, command, timeout=AGAIN_S)
    shown = [server.outlet.console_text().count("ksnode: complete") for server in pair.servers]
    for server in pair.servers:
        pair.on(server, "systemctl start ksnode")
    for server, before in zip(pair.servers, shown, strict=True):
        server.outlet.wait_console("ksnode: complete", COMPLETE_S, after=before)
    for server in pair.servers:
        assert "vmdata" in pair.on(server, "grep gfs2 /proc/mounts")
        assert pair.on(server, "ls /srv/vmdata") == ""
