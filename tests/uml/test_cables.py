"""Two installed nodes whose crossover is as bad as it gets, as far as the rendezvous.

Ports 1 and 2 are swapped, cable 3 is dead, on cable 4 sits a third party, and netem loses, delays,
doubles and reorders on all of them. Nothing is typed but to look, and to have it looked at anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from firstboot.cabling import ETHERTYPE
from tests.uml import stranger
from tests.uml.images import Images
from tests.uml.lab import Cable, Lab
from tests.uml.pair import PROFILE, STATE, TestPair, build_medium
from tests.uml.shell import Shell
from tests.uml.stranger import Stranger

pytestmark = [pytest.mark.uml, pytest.mark.timeout(2400)]

BOOT_S, MEET_S = 400.0, 500.0
PORTS = [[f"52:54:00:0{node}:00:0{port}" for port in (1, 2, 3, 4)] for node in (1, 2)]
NETEM = "delay 30ms 15ms loss 15% duplicate 10% reorder 20% 50%"
WEATHER = (
    "modprobe sch_netem && for n in 1 2 3 4; do"
    f" tc qdisc replace dev vec$n root netem {NETEM} || exit 1; done"
)
FORGET = f"systemctl stop ksnode && rm {STATE}/cabling.json"
LOOK = {
    "status": "ksnode status",
    "bond": "cat /proc/net/bonding/bond0",
    "found": f"cat {STATE}/cabling.json",
    "netem": "tc -s -j qdisc show",
    "links": "ip -j -d link",
    "ping": "for a in 10.9.8.1 10.9.8.2; do ip route get $a; ping -c 2 -w 20 $a; done",
}
ON_VLAN = ["10.9.8.1/24", "10.9.8.2/24"]


@dataclass
class Seen:
    """What each node answered to LOOK."""

    before: list[str]  # ksnode status while every cable was out
    met: list[dict[str, str]]
    types: set[str]  # Ethernet types on the third party's cable
    mended: list[dict[str, str]]  # looked at anew: cable 3 is in, nobody sits on cable 4


def profile(lab: Lab, folder: Path) -> Path:
    """The lab's pair with a fourth crossover port and a bridge on VLAN 8."""
    made = Shell(lab, folder).profile(PROFILE, folder / "pair.toml")
    text = made.read_text()
    for macs in PORTS:
        text = text.replace(f'"{macs[2]}"]', f'"{macs[2]}", "{macs[3]}"]')
    bridge = f'[[bridge]]\nname = "br0.8"\nvlan = 8\naddresses = {json.dumps(ON_VLAN)}\n\n'
    made.write_text(text.replace("[[node]]", bridge + "[[node]]", 1))
    return made


def look(pair: TestPair) -> list[dict[str, str]]:
    return [{name: pair.on(s, c) for name, c in LOOK.items()} for s in pair.servers]


@pytest.fixture(scope="module")
def seen(pair_images: Images, el9_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("cables")
    with Lab() as lab:
        written = profile(lab, folder)
        medium = build_medium(el9_iso, folder / "pair.iso", folder / "keys", written)
        cables = [lab.cable() for _ in range(5)]
        first = [cables[0].a, cables[1].a, cables[2].a, cables[3].a]
        second = [cables[1].b, cables[0].b, cables[2].b, cables[4].a]
        pair = TestPair(lab, pair_images, medium, folder / "servers", written, (first, second))
        try:
            for bmc in pair.bmcs:
                bmc.close()  # nobody is cut off while we look
            for verdict in pair.install_both():
                assert verdict.success, verdict.reason + verdict.script_tail
            for server in pair.servers:
                server.outlet.switch_on()
            return watch(pair, cables)
        finally:
            pair.close()


def watch(pair: TestPair, cables: Sequence[Cable]) -> Seen:
    """Let them meet in bad weather; then put the cables right and have them looked at anew."""
    for cable in cables:
        pair.lab.pull_cable(cable)
    wait_for(pair, "hears nothing of", BOOT_S)
    on_both(pair, WEATHER)
    before = on_both(pair, "ksnode status")
    with Stranger(pair.lab, cables[3].b, cables[4].b) as other:
        for cable in (*cables[:2], *cables[3:]):
            pair.lab.plug_cable(cable)
        wait_for(pair, "ksnode: rendezvous: done", MEET_S)
        met, types = look(pair), other.hush()
        pair.lab.plug_cable(cables[2])
        on_both(pair, FORGET)
        on_both(pair, "systemctl start ksnode")
        wait_for(pair, "ksnode: rendezvous: done", MEET_S, after=1)
        return Seen(before, met, types, look(pair))


def on_both(pair: TestPair, command: str) -> list[str]:
    return [pair.on(server, command) for server in pair.servers]


def wait_for(pair: TestPair, said: str, timeout: float, *, after: int = 0) -> None:
    for server in pair.servers:
        server.outlet.wait_console(said, timeout, after=after)


def cabling(status: str) -> str:
    """What the status says of the cabling step."""
    (line,) = [line for line in status.splitlines() if "  cabling: " in line]
    return line


def bonded(seen: dict[str, str]) -> set[str]:
    return set(re.findall(r"Slave Interface: (\w+)", seen["bond"]))


def used(seen: dict[str, str]) -> list[list[str]]:
    found = json.loads(seen["found"])
    assert isinstance(found, list)
    return found


def test_a_node_alone_names_every_port_and_waits(seen: Seen) -> None:
    for status, macs in zip(seen.before, PORTS, strict=True):
        assert "cabling: waiting" in cabling(status)
        for number, mac in enumerate(macs, 1):
            assert f"vec{number} ({mac}) has a link, hears nothing of" in cabling(status)


def test_they_met_through_loss_delay_doubles_and_disorder(seen: Seen) -> None:
    for node in seen.met:
        for step in ("cabling", "crossover", "rendezvous"):
            assert re.search(rf"  {step}: (ok|done)", node["status"]), node["status"]
        dropped = {q["dev"]: q["drops"] for q in json.loads(node["netem"]) if q["kind"] == "netem"}
        assert set(dropped) == {"vec1", "vec2", "vec3", "vec4"}
        assert min(dropped["vec1"], dropped["vec2"]) > 0, dropped


def test_swapped_cables_are_named_and_used(seen: Seen) -> None:
    for node, own, theirs in zip(seen.met, PORTS, reversed(PORTS), strict=True):
        assert used(node) == [[own[0], theirs[1]], [own[1], theirs[0]]]
        for port, met, meant in ((0, 1, 0), (1, 0, 1)):
            told = f"port {own[port]} leads to {theirs[met]}, by the profile to {theirs[meant]}"
            assert told in cabling(node["status"])


def test_a_dead_cable_is_named_and_left_out(seen: Seen) -> None:
    for node, macs in zip(seen.met, PORTS, strict=True):
        told = f"not in use: vec3 ({macs[2]}) has a link, hears nothing of"
        assert told in cabling(node["status"])
        assert bonded(node) == {"vec1", "vec2"}


def test_a_port_that_sees_a_third_party_is_named_and_never_used(seen: Seen) -> None:
    for node, macs in zip(seen.met, PORTS, strict=True):
        assert f"not in use: vec4 ({macs[3]}) sees {stranger.MAC}" in cabling(node["status"])
    assert f"{ETHERTYPE:04x}" in seen.types
    assert not seen.types & {"0800", "0806"}, "only hellos, never the pair's own traffic"


def test_the_bridge_of_a_vlan_carries_from_node_to_node(seen: Seen) -> None:
    for node in seen.met:
        (vlan,) = (link for link in json.loads(node["links"]) if link["ifname"] == "uplink.8")
        assert (vlan["linkinfo"]["info_data"]["id"], vlan["master"]) == (8, "br0.8")
        assert "dev br0.8" in node["ping"], node["ping"]
        assert len(re.findall(r" [12] received", node["ping"])) == 2, node["ping"]


def test_cables_put_right_are_used_once_they_are_looked_at_anew(seen: Seen) -> None:
    for node, own, theirs in zip(seen.mended, PORTS, reversed(PORTS), strict=True):
        order = (1, 0, 2, 3)
        assert used(node) == [[own[n], theirs[order[n]]] for n in range(4)]
        assert bonded(node) == {"vec1", "vec2", "vec3", "vec4"}
        assert "not in use" not in cabling(node["status"])
