"""A guest in the CIB, judged by pacemaker's own tools, by pcs and by the resource agent itself."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import pacemaker
from firstboot.commands import Result
from firstboot.guest import resource
from firstboot.guest.resource import PARAMETERS, PREFERENCE, Guest
from firstboot.node import Pair
from firstboot.render import cib
from tests.firstboot.clusterlab import UP_TO_DATE, online, shut_down, simulate, xml
from tests.firstboot.conftest import ONE_PYTHON, ScriptedRun, a_pair
from tests.firstboot.test_cib import _meaning, meaning, order, verify
from tests.firstboot.test_guest_domain import AGENT

pytestmark = ONE_PYTHON
VM1 = Guest("vm1", "/srv/vmdata/guests/vm1.xml", prefers=("julius",))
WEB = Guest("web", "/srv/vmdata/guests/web.xml", ("justinian",), ("vm1",), 10)
BY_PCS = """resource create --no-default-ops web ocf:heartbeat:VirtualDomain
 config=/srv/vmdata/guests/web.xml hypervisor=qemu:///system migration_transport=tls
 migration_network_suffix=-bond migrate_options=--tls op start timeout=120s
 op stop timeout=300s op migrate_to timeout=600s op migrate_from timeout=120s
 op monitor interval=30s timeout=30s meta allow-migrate=true priority=10"""


def cluster_of(pair: Pair) -> str:
    """A pair that is up and has mounted, without guests."""
    return online(cib.text(pair), (UP_TO_DATE, UP_TO_DATE))


def given(folder: Path, live: str, *guests: Guest) -> str:
    """That CIB once the real cibadmin has put guests into it."""
    file = folder / "given.xml"
    file.write_text(live)
    for guest in guests:
        cibadmin(file, pacemaker.extend, resource.additions(a_pair(), guest))
    return file.read_text()


def cibadmin(file: Path, change: "object", argument: str) -> None:
    def run(argv: "list[str]", *, stdin: "str | None" = None, **_: object) -> Result:
        subprocess.run(
            argv, input=stdin or "", text=True, check=True, capture_output=True,
            env={**os.environ, "CIB_file": str(file)},
        )  # fmt: skip
        return Result(tuple(argv), 0, "", "")

    assert callable(change)
    change(run, argument)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Both guests defined, nothing started yet."""
    return given(tmp_path_factory.mktemp("live"), cluster_of(a_pair()), VM1, WEB)


@pytest.fixture(scope="module")
def up(live: str, tmp_path_factory: pytest.TempPathFactory) -> "tuple[list[str], str]":
    """What pacemaker did to start everything, and the cluster afterwards."""
    return simulate(live, tmp_path_factory.mktemp("up"))


def test_pacemaker_finds_nothing_to_warn_of(live: str, tmp_path: Path) -> None:
    done = verify(live, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = verify(live.replace('first="vm1"', 'first="vm2"'), tmp_path)
    assert done.returncode or done.stderr


def test_pcs_makes_the_same_resource(live: str, tmp_path: Path) -> None:
    file = tmp_path / "pcs.xml"
    file.write_text(cluster_of(a_pair()))
    argv = ["pcs", "-f", str(file), *BY_PCS.split()]
    subprocess.run(argv, check=True, capture_output=True)
    theirs, ours = (xml(t).find(".//primitive[@id='web']") for t in (file.read_text(), live))
    assert theirs is not None
    assert ours is not None
    assert _meaning(ours) == _meaning(theirs)


def test_the_agent_knows_every_parameter_and_action() -> None:
    """resource-agents' own word; its advice for timeouts is the least we give."""
    environment = {**os.environ, "OCF_ROOT": "/usr/lib/ocf"}
    argv = [str(AGENT), "meta-data"]
    told = xml(
        subprocess.run(argv, capture_output=True, text=True, check=True, env=environment).stdout
    )
    assert {"config", *PARAMETERS} <= {p.get("name") for p in told.iter("parameter")}
    advice = {a.get("name"): int(a.get("timeout", "0s")[:-1]) for a in told.iter("action")}
    for action, (timeout_s, _) in resource.OPERATIONS.items():
        assert timeout_s >= advice[action], action


def test_a_guest_starts_after_the_mount_where_it_prefers(up: "tuple[list[str], str]") -> None:
    actions, _ = up
    order(actions, "ks-vmdata start on julius", "vm1 start on julius")
    order(actions, "ks-vmdata start on justinian", "web start on justinian")


def test_one_starts_after_the_other(up: "tuple[list[str], str]") -> None:
    actions, _ = up
    places = [actions.index(a) for a in actions if a.startswith(("vm1 start", "web start"))]
    assert len(places) == 2
    assert actions[min(places)].startswith("vm1")


def standby(text: str, number: str, name: str) -> str:
    node = f'<node id="{number}" uname="{name}"'
    assert f"{node}/>" in text
    pair = f'<nvpair id="standby-{number}" name="standby" value="on"/>'
    block = f'<instance_attributes id="nodes-{number}">{pair}</instance_attributes>'
    return text.replace(f"{node}/>", f"{node}>{block}</node>")


def test_standby_moves_it_live_before_the_unmount(
    up: "tuple[list[str], str]", tmp_path: Path
) -> None:
    actions, _ = simulate(standby(up[1], "2", "julius"), tmp_path)
    order(
        actions,
        "vm1 migrate_to on julius",
        "vm1 migrate_from on justinian",
        "vm1 stop on julius",
        "ks-vmdata stop on julius",
        "ks-drbd demote on julius",
    )
    assert "vm1 start on justinian" not in actions


@pytest.mark.parametrize(("number", "node"), [("1", "justinian"), ("2", "julius")])
def test_a_node_that_leaves_moves_its_guest_live(
    up: "tuple[list[str], str]", tmp_path: Path, number: str, node: str
) -> None:
    actions, _ = simulate(shut_down(up[1], number), tmp_path)
    guest = "vm1" if node == "julius" else "web"
    moved = (f"{guest} migrate_to on {node}", f"ks-vmdata stop on {node}")
    order(actions, *moved, f"do_shutdown on {node}")


def test_guests_stop_before_the_unmount_when_both_nodes_leave(
    up: "tuple[list[str], str]", tmp_path: Path
) -> None:
    actions, _ = simulate(shut_down(shut_down(up[1], "1"), "2"), tmp_path)
    stopped = [a for a in actions if a.startswith(("vm1 stop", "web stop"))]
    assert [a[:3] for a in stopped] == ["web", "vm1"], "the other way round"
    for action in stopped:
        order(actions, action, f"ks-vmdata stop on {action.rpartition(' ')[2]}")
    assert not [a for a in actions if "migrate" in a]


def test_the_guests_of_a_lost_node_start_once_it_is_fenced(
    up: "tuple[list[str], str]", tmp_path: Path
) -> None:
    actions, _ = simulate(up[1], tmp_path, "--node-fail=julius")
    order(actions, "Fencing julius (reboot)", "vm1 start on justinian")


def test_a_preference_is_weaker_than_staying() -> None:
    stickiness = xml(cib.text(a_pair())).find(".//nvpair[@name='resource-stickiness']")
    assert stickiness is not None
    assert 0 < PREFERENCE < int(stickiness.attrib["value"])


def test_a_returning_node_gets_nobody_back_by_itself(tmp_path: Path) -> None:
    """Its guests were started on the other one, and stay there."""
    alone = given(tmp_path, cluster_of(a_pair()), VM1)
    _, away = simulate(standby(alone, "2", "julius"), tmp_path)
    back = away.replace('name="standby" value="on"', 'name="standby" value="off"')
    assert back != away
    actions, _ = simulate(back, tmp_path)
    assert "ks-vmdata start on julius" in actions
    assert not [a for a in actions if a.startswith("vm1")]


def test_what_is_found_again(live: str, tmp_path: Path) -> None:
    assert resource.guests(live) == {"vm1": VM1, "web": WEB}
    assert resource.guests(cluster_of(a_pair())) == {}
    by_hand = given(tmp_path, cluster_of(a_pair()), VM1).replace("50", "INFINITY")
    left = by_hand.replace(
        "</constraints>",
        '<rsc_location id="cli-prefer-vm1" rsc="vm1" node="justinian" score="INFINITY"/>'
        '<rsc_location id="no" rsc="vm1" node="justinian" score="-INFINITY"/></constraints>',
    )
    assert resource.guests(left)["vm1"].prefers == ("julius",)
    with pytest.raises(ValueError, match="not pacemaker's XML"):
        resource.guests("")
    with pytest.raises(ValueError, match="not a CIB"):
        resource.guests("<cib/>")


def test_one_is_taken_out_whole_and_nothing_else(live: str, tmp_path: Path) -> None:
    file = tmp_path / "cib.xml"
    file.write_text(live)
    cibadmin(file, pacemaker.forget, resource.xpath("web"))
    assert meaning(file.read_text()) == meaning(given(tmp_path, cluster_of(a_pair()), VM1))
    file.write_text(live)
    cibadmin(file, pacemaker.forget, resource.xpath("vm1"))
    assert "vm1" not in file.read_text()
    done = verify(file.read_text(), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_guests_are_no_drift_of_the_plan(live: str) -> None:
    assert not pacemaker.drift(cib.text(a_pair()), live)


def test_ids_that_are_taken() -> None:
    live = cluster_of(a_pair()).replace("</constraints>", '<x id="vm1-with-vmdata"/></constraints>')
    added = resource.additions(a_pair(), VM1)
    assert resource.clashes(live, added) == ["vm1-with-vmdata"]
    assert not resource.clashes(cluster_of(a_pair()), added)


def test_timeouts_grow_and_intervals_stay() -> None:
    pair = a_pair()
    slow = replace(pair, cluster=replace(pair.cluster, timeout_factor=4))
    once, often = (xml(resource.additions(p, VM1)) for p in (pair, slow))
    for one, four in zip(once.iter("op"), often.iter("op")):
        assert int(four.attrib["timeout"][:-1]) == 4 * int(one.attrib["timeout"][:-1])
        assert four.attrib["interval"] == one.attrib["interval"]


def test_a_longer_lead_for_the_node_that_counts_more() -> None:
    """pacemaker's manual: twice what the device waits, and the one with guests is cut last."""
    values = {p.get("name"): p.get("value") for p in xml(cib.text(a_pair())).iter("nvpair")}
    assert (values["pcmk_delay_base"], values["priority-fencing-delay"]) == ("10s", "20s")


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (pacemaker.stop, "crm_resource --resource vm1 --meta --set-parameter target-role "
                         "--parameter-value Stopped"),
        (pacemaker.settle, "crm_resource --clear --resource vm1"),
    ],
)  # fmt: skip
def test_how_pacemaker_is_told(change: "object", command: str) -> None:
    run = ScriptedRun().expect(command)
    assert callable(change)
    change(run, "vm1")
    run.assert_finished()
