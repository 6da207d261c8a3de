"""The bond: over the ports whose cables were proven, and no other."""

import json
from dataclasses import replace

import pytest

from firstboot.engine import Refused
from firstboot.hellos import FOUND
from firstboot.steps import Context
from firstboot.steps.cabling import Cabling
from firstboot.steps.crossover import CrossoverBond
from tests.firstboot.conftest import MACS, PEER_MACS, ScriptedRun
from tests.firstboot.test_steps import (
    ADDRESSES,
    LINKS,
    SHOW_BOND,
    SHOW_LINKS,
    context,
    lay,
    lay_bond,
    run,
)

__all__ = ["context", "run"]  # fixtures

PROFILES = "nmcli -t -e no -f UUID,TYPE,NAME connection show"
KEYFILES = "etc/NetworkManager/system-connections"


def looked_at(run: ScriptedRun, profiles: str = "u-1:bond:ks-bond0\n") -> ScriptedRun:
    return run.expect(SHOW_LINKS, json.dumps(LINKS)).expect(PROFILES, profiles)


def applied(run: ScriptedRun) -> None:
    run.expect("nmcli general reload conf").expect("nmcli connection reload")
    run.expect("nmcli --wait 90 connection up id ks-bond0")


def test_from_nothing(context: Context, run: ScriptedRun) -> None:
    step = CrossoverBond(context)
    looked_at(run)
    missing = step.check()
    assert missing[-1] == "there is no bond0"
    assert len(missing) == 5
    assert step.remark() == f"no such port: {MACS[2]}"
    applied(looked_at(run))
    step.apply()
    lay_bond(context.root)
    looked_at(run).expect(SHOW_BOND, json.dumps(ADDRESSES))
    assert not step.check()
    run.assert_finished()


def test_a_profile_in_the_way_goes(context: Context, run: ScriptedRun) -> None:
    """Anaconda leaves one for every port that had a link."""
    shown = f"connection.interface-name:\n802-3-ethernet.mac-address:{MACS[1]}\n"
    for _ in range(2):
        looked_at(run, "u-1:bond:ks-bond0\nu-7:802-3-ethernet:eno2\n")
        run.expect("nmcli -t -e no connection show uuid u-7", shown)
    run.expect("nmcli connection delete uuid u-7")
    applied(run)
    step = CrossoverBond(context)
    assert "the profile 'eno2' would take a port" in step.check()
    step.apply()
    run.assert_finished()


def test_a_port_that_is_not_proven_leaves(context: Context, run: ScriptedRun) -> None:
    applied(looked_at(run))
    CrossoverBond(context).apply()
    lay_bond(context.root)
    lay(context.root, str(FOUND), json.dumps([[MACS[0], PEER_MACS[0]]]))
    step = CrossoverBond(context)
    looked_at(run).expect(SHOW_BOND, json.dumps(ADDRESSES))
    assert step.check() == [
        "ks-bond0-port2.nmconnection is left over",
        "ks-bond0-port3.nmconnection is left over",
        "eno2 is in bond0, unproven",
    ]
    looked_at(run).expect("nmcli connection delete id ks-bond0-port2")
    run.expect("nmcli connection delete id ks-bond0-port3")
    applied(run)
    step.apply()
    for number in (2, 3):
        (context.root / KEYFILES / f"ks-bond0-port{number}.nmconnection").unlink()
    lay_bond(context.root, ports="eno1")
    looked_at(run).expect(SHOW_BOND, json.dumps(ADDRESSES))
    assert not step.check()


@pytest.mark.parametrize(
    ("ports", "mtu", "address", "missing"),
    [
        ("eno1", 9000, "127.0.7.1", "eno2 is not in bond0"),
        ("eno1 eno2", 1500, "127.0.7.1", "MTU 1500"),
        ("eno1 eno2", 9000, "127.0.7.9", "has no address 127.0.7.1/24"),
    ],
)
def test_drift_is_named(
    context: Context, run: ScriptedRun, ports: str, mtu: int, address: str, missing: str
) -> None:
    step = CrossoverBond(context)
    lay_bond(context.root, ports=ports, mtu=mtu)
    shown = [{"addr_info": [{"local": address, "prefixlen": 24}]}]
    looked_at(run).expect(SHOW_BOND, json.dumps(shown))
    assert missing in step.check()[-1]


def test_without_any_port_it_is_refused(context: Context, run: ScriptedRun) -> None:
    run.expect(SHOW_LINKS, json.dumps(LINKS[:1]))
    with pytest.raises(Refused, match="none of the crossover ports"):
        CrossoverBond(context).check()


def auto(context: Context) -> Context:
    """The same node, its crossover ports left to be found."""
    pair = context.identity.pair
    nodes = tuple(replace(node, crossover_ports=()) for node in pair.nodes)
    pair = replace(pair, nodes=(nodes[0], nodes[1]))
    return replace(context, identity=replace(context.identity, pair=pair))


def test_ports_to_be_found_are_missing_not_refused(context: Context, run: ScriptedRun) -> None:
    context = auto(context)
    assert Cabling(context).check() == ["which cable leads where is not known yet"]
    step = CrossoverBond(context)
    looked_at(run, "")
    assert step.check() == [
        "/etc/NetworkManager/system-connections/ks-bond0.nmconnection is not as planned",
        "there is no bond0",
    ]
    assert not step.remark()
    run.assert_finished()


def test_a_port_that_was_found_and_is_gone_is_refused(context: Context, run: ScriptedRun) -> None:
    context = auto(context)
    lay(context.root, str(FOUND), json.dumps([[MACS[2], PEER_MACS[2]]]))
    run.expect(SHOW_LINKS, json.dumps(LINKS))
    with pytest.raises(Refused, match=f"none of the crossover ports {MACS[2]} is in"):
        CrossoverBond(context).check()


def test_with_the_uplink_alone_there_is_nothing_to_find(context: Context, run: ScriptedRun) -> None:
    context = auto(context)
    uplink = context.identity.me.uplink.ports[0].lower()
    run.expect(
        SHOW_LINKS, json.dumps([{"ifname": "eno1", "link_type": "ether", "address": uplink}])
    )
    with pytest.raises(Refused, match="none of the crossover ports"):
        CrossoverBond(context).check()
