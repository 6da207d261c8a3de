"""What pacemaker's own scheduler does with a guest when a node, or both, are to leave."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from firstboot import leaving, pacemaker
from firstboot.render import cib
from tests.firstboot.clusterlab import UP_TO_DATE, guest, online, set_node, simulate
from tests.firstboot.conftest import ONE_PYTHON, a_pair
from tests.firstboot.test_pacemaker import recorded
from tests.firstboot.test_poweroff import WHOLE, WITH_GUEST

pytestmark = ONE_PYTHON


def running(tmp_path: Path) -> str:
    """Both nodes up, and a guest on the first, as pacemaker's own scheduler has it."""
    text = guest(online(cib.text(a_pair()), (UP_TO_DATE, UP_TO_DATE)), "vm1")
    actions, up = simulate(text, tmp_path)
    assert len([a for a in actions if a.startswith("vm1 start on ")]) == 1
    return up


def host(up: str) -> str:
    """Where the guest is."""
    root = ET.fromstring(up)  # noqa: S314 - a local program's output
    for state in root.iter("node_state"):
        for resource in state.iter("lrm_resource"):
            if (
                resource.get("id") == "vm1"
                and resource.find("lrm_rsc_op[@rc-code='0']") is not None
            ):
                return state.get("uname", "")
    raise AssertionError("vm1 runs nowhere")


def test_pacemaker_moves_the_guest_live_and_unmounts_last(tmp_path: Path) -> None:
    up = running(tmp_path)
    me = host(up)
    peer = {"justinian": "julius", "julius": "justinian"}[me]
    actions, after = simulate(set_node(up, me, "standby", "on"), tmp_path)
    assert f"vm1 migrate_to on {me}" in actions
    assert f"vm1 migrate_from on {peer}" in actions
    steps = [f"vm1 stop on {me}", f"ks-vmdata stop on {me}", f"ks-drbd stop on {me}"]
    assert [actions.index(step) for step in steps] == sorted(actions.index(s) for s in steps)
    assert not [a for a in actions if a.startswith("ks-") and " stop on " + peer in a]
    assert not [a for a in actions if a.startswith("Fencing")]
    assert host(after) == peer


def test_pacemaker_stops_a_pairs_guest_once_and_fences_nobody(tmp_path: Path) -> None:
    up = running(tmp_path)
    both = set_node(set_node(up, "justinian", "standby", "on"), "julius", "standby", "on")
    actions, after = simulate(both, tmp_path)
    assert [a for a in actions if a.startswith("vm1 ")] == [f"vm1 stop on {host(up)}"]
    assert {f"ks-vmdata stop on {node}" for node in ("justinian", "julius")} <= set(actions)
    assert not [a for a in actions if "Fencing" in a or "migrate" in a]
    actions, _ = simulate(set_node(after, "justinian", "shutdown", "1600000000"), tmp_path)
    assert "do_shutdown on justinian" in actions
    assert not [a for a in actions if "Fencing" in a]


def test_a_guest_leaves_a_node_in_bad_health_and_nothing_else_does(tmp_path: Path) -> None:
    up = running(tmp_path)
    me = host(up)
    peer = {"justinian": "julius", "julius": "justinian"}[me]
    red = set_node(up, me, "#health-ks-raid", "red")
    actions, after = simulate(red, tmp_path)
    assert f"vm1 migrate_to on {me}" in actions
    assert not [a for a in actions if a.startswith(("ks-", "Fencing"))]
    assert host(after) == peer
    alike, _ = simulate(set_node(after, peer, "#health-ks-uplink", "red"), tmp_path)
    assert not [a for a in alike if a.startswith("vm1")], "both are red: it stays"
    actions, well = simulate(after.replace('value="red"', 'value="green"'), tmp_path)
    assert not [a for a in actions if a.startswith("vm1")], "it is not moved back"
    assert host(well) == peer


@pytest.mark.parametrize(("score", "leaves"), [("1000", True), ("INFINITY", False)])
def test_health_weighs_more_than_a_preference(tmp_path: Path, score: str, leaves: bool) -> None:
    up = running(tmp_path)
    me = host(up)
    prefers = f'<rsc_location id="prefers" rsc="vm1" node="{me}" score="{score}"/></constraints>'
    liked = up.replace("</constraints>", prefers)
    actions, _ = simulate(set_node(liked, me, "#health-ks-uplink", "red"), tmp_path)
    assert (f"vm1 migrate_to on {me}" in actions) == leaves


def test_of_two_red_nodes_the_worse_one_is_left(tmp_path: Path) -> None:
    up = running(tmp_path)
    me = host(up)
    worse = set_node(up, me, "#health-ks-raid", "red")
    worse = set_node(worse, me, "#health-ks-drbd", "red")
    bad = set_node(
        worse, {"justinian": "julius", "julius": "justinian"}[me], "#health-ks-raid", "red"
    )
    actions, _ = simulate(bad, tmp_path)
    assert f"vm1 migrate_to on {me}" in actions
    assert not [a for a in actions if a.startswith("ks-")]


def test_what_counts_as_a_guest() -> None:
    state = pacemaker.parse(WITH_GUEST)
    assert leaving.guests(state, ["justinian"]) == ["vm1"]
    assert leaving.guests(state, ["julius"]) == []
    assert leaving.left(None, ["julius"]) == ["the cluster does not answer"]


def test_a_pair_that_leaves_as_pacemaker_told_of_it() -> None:
    state = pacemaker.parse(recorded("leaving"))
    assert state.standby == {"justinian", "julius"}
    assert state.asking == {"justinian"}
    assert leaving.left(state, ["justinian", "julius"]) == []
    assert not pacemaker.parse(WHOLE).standby | pacemaker.parse(WHOLE).asking
