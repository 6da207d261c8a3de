"""The CIB, judged by pacemaker's own tools and by what pcs makes of the same wishes."""

import itertools
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firstboot.configfile import ConfigFile
from firstboot.node import FenceDevice
from firstboot.render import cib
from firstboot.render.fencedevice import AGENTS, devices
from tests.firstboot.clusterlab import UP_TO_DATE, online, shut_down, simulate, two_levels, xml
from tests.firstboot.conftest import ONE_PYTHON, a_pair, an_identity

NAMES = ("justinian", "julius")
BOTH = (UP_TO_DATE, UP_TO_DATE)
IPMI = {"ip": "bmc", "lanplus": "1", "privlvl": "operator"}
SCRIPT = "/usr/local/libexec/ksbuild/fence-"
TIMEOUTS = " ".join(
    f"pcmk_{action}_timeout=60s" for action in ("reboot", "off", "on", "status", "monitor")
)
CLONE = "clone-max=2 clone-node-max=1 interleave=true target-role=Stopped"
PCS = f"""
property set stonith-enabled=true no-quorum-policy=freeze stonith-timeout=60s \
 priority-fencing-delay=20s migration-limit=2 node-health-strategy=progressive \
 node-health-base=100000 node-health-red=-10000
resource defaults update resource-stickiness=100 failure-timeout=600s
stonith create ks-fence-justinian-1 fence_ipmilan ip=10.0.1.1 username=ksfence \
 lanplus=1 privlvl=operator password_script={SCRIPT}justinian-1 pcmk_host_list=justinian \
 {TIMEOUTS} pcmk_delay_base=10s \
 op start timeout=60s op monitor interval=60s timeout=60s
stonith create ks-fence-julius-1 fence_ipmilan ip=10.0.1.2 username=ksfence \
 lanplus=1 privlvl=operator password_script={SCRIPT}julius-1 pcmk_host_list=julius {TIMEOUTS} \
 op start timeout=60s op monitor interval=60s timeout=60s
resource create --no-default-ops ks-drbd ocf:linbit:drbd drbd_resource=vmdata \
 adjust_master_score="0 0 1000 10000" op start timeout=240s op promote timeout=90s \
 op demote timeout=90s op stop timeout=100s op notify timeout=90s \
 op monitor interval=29s timeout=40s role=Promoted \
 op monitor interval=31s timeout=40s role=Unpromoted \
 promotable ks-drbd-clone {CLONE} promoted-max=2 promoted-node-max=1 notify=true
resource create --no-default-ops ks-dlm ocf:pacemaker:controld op start timeout=90s \
 op stop timeout=100s op monitor interval=30s timeout=60s on-fail=fence \
 clone ks-dlm-clone {CLONE} ordered=true
resource create --no-default-ops ks-vmdata ocf:heartbeat:Filesystem device=/dev/drbd0 \
 directory=/srv/vmdata fstype=gfs2 options=noatime,nodiratime run_fsck=no op start timeout=120s \
 op stop timeout=120s op monitor interval=20s timeout=60s on-fail=fence \
 clone ks-vmdata-clone {CLONE} ordered=true
constraint location ks-fence-justinian-1 avoids justinian
constraint location ks-fence-julius-1 avoids julius
constraint order promote ks-drbd-clone then start ks-vmdata-clone
constraint order start ks-dlm-clone then start ks-vmdata-clone
constraint colocation add ks-vmdata-clone with Promoted ks-drbd-clone
constraint colocation add ks-vmdata-clone with ks-dlm-clone
alert create id=ks-alert path=/usr/local/libexec/ksbuild/alert meta timeout=30s
"""


def meaning(text: str) -> Any:
    """A CIB without its blocks' and constraints' ids and order, which mean nothing."""
    configuration = xml(text).find("configuration")
    assert configuration is not None
    configuration.remove(configuration.find("nodes"))  # type: ignore[arg-type]  # pcs leaves it
    for alert in configuration.iter("alert"):
        for select in alert.findall("select"):  # pcs 0.11 has no words for it
            alert.remove(select)
    return _meaning(configuration)


def _meaning(element: ET.Element) -> Any:
    kept = dict(element.attrib)
    if element.tag not in {"primitive", "clone"}:
        kept.pop("id", None)
    return (element.tag, sorted(kept.items()), sorted(map(_meaning, element), key=repr))


@ONE_PYTHON
def test_pcs_makes_the_same_of_it(tmp_path: Path) -> None:
    file = tmp_path / "cib.xml"
    empty = subprocess.run(["cibadmin", "--empty"], capture_output=True, text=True, check=True)
    file.write_text(empty.stdout)
    for line in PCS.strip().splitlines():
        subprocess.run(f"pcs -f {file} {line}", shell=True, check=True, capture_output=True)  # noqa: S602
    assert meaning(cib.text(a_pair())) == meaning(file.read_text())


def rendered(factor: int = 1, levels: int = 1) -> str:
    pair = a_pair() if levels == 1 else two_levels()
    return cib.text(replace(pair, cluster=replace(pair.cluster, timeout_factor=factor)))


def verify(text: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    (folder / "cib.xml").write_text(text)
    return subprocess.run(
        ["crm_verify", "-VV", "--xml-file", folder / "cib.xml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("released", [False, True])
def test_pacemaker_finds_nothing_to_warn_of(tmp_path: Path, levels: int, released: bool) -> None:
    done = verify(online(rendered(levels=levels), BOTH, released=released), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("good", "bad"),
    [("-INFINITY", "-INFINITE"), ('then="ks-vmdata-clone"', 'then="ks-vm"'), ("freeze", "frieze")],
)
def test_pacemaker_would_notice(tmp_path: Path, good: str, bad: str) -> None:
    text = rendered()
    assert good in text
    done = verify(online(text.replace(good, bad), BOTH), tmp_path)
    assert done.returncode or done.stderr


def test_every_object_is_marked_as_ours() -> None:
    configuration = xml(rendered(levels=2)).find("configuration")
    assert configuration is not None
    ids = [e.attrib["id"] for e in configuration.iter() if "id" in e.attrib and e.tag != "node"]
    assert len(ids) == len(set(ids))
    assert all(id_.startswith("ks-") for id_ in ids)


def test_nothing_but_fencing_starts_before_it_is_released(tmp_path: Path) -> None:
    actions, _ = simulate(online(rendered(), BOTH, released=False), tmp_path)
    assert [a for a in actions if "start" in a] == [
        "ks-fence-justinian-1 start on julius",
        "ks-fence-julius-1 start on justinian",
    ]


def order(actions: list[str], *wanted: str) -> None:
    """Every wanted action is there, each after the one before it."""
    places = [actions.index(action) for action in wanted]
    assert places == sorted(places), [actions[place] for place in sorted(places)]


def test_start_locks_and_drbd_then_promote_both_then_mount(tmp_path: Path) -> None:
    actions, _ = simulate(online(rendered(), BOTH), tmp_path)
    for node in ("justinian", "julius"):
        promoted, mounted = f"ks-drbd promote on {node}", f"ks-vmdata start on {node}"
        order(actions, f"ks-drbd start on {node}", promoted, mounted)
        order(actions, f"ks-dlm start on {node}", mounted)


def test_a_node_whose_disk_is_not_up_to_date_does_not_mount(tmp_path: Path) -> None:
    actions, synced = simulate(online(rendered(), (UP_TO_DATE, "")), tmp_path)
    assert "ks-vmdata start on justinian" in actions
    assert "ks-drbd start on julius" in actions
    assert not {"ks-drbd promote on julius", "ks-vmdata start on julius"} & set(actions)
    values = f'name="master-ks-drbd" value="{UP_TO_DATE}"/>'
    mark = '<instance_attributes id="status-2"'
    assert f"{mark}/>" in synced
    synced = synced.replace(f"{mark}/>", f'{mark}><nvpair id="s" {values}</instance_attributes>')
    actions, _ = simulate(synced, tmp_path)
    order(actions, "ks-drbd promote on julius", "ks-vmdata start on julius")
    assert not [a for a in actions if a.endswith("on justinian") and "notify" not in a]


def test_a_node_unmounts_before_it_leaves(tmp_path: Path) -> None:
    _, up = simulate(online(rendered(), BOTH), tmp_path)
    actions, _ = simulate(shut_down(up, "2"), tmp_path)
    unmounted, gone = "ks-vmdata stop on julius", "do_shutdown on julius"
    order(actions, unmounted, "ks-dlm stop on julius", gone)
    order(actions, unmounted, "ks-drbd demote on julius", "ks-drbd stop on julius", gone)
    assert not [a for a in actions if a.startswith("ks-vmdata") and a.endswith("justinian")]


@pytest.mark.parametrize("lost", ["justinian", "julius"])
def test_a_lost_node_is_fenced_before_anything_else(tmp_path: Path, lost: str) -> None:
    _, up = simulate(online(rendered(), BOTH), tmp_path)
    actions, _ = simulate(up, tmp_path, f"--node-fail={lost}")
    assert actions[0] == f"Fencing {lost} (reboot)"


def attributes(text: str, primitive: str) -> dict[str, str]:
    found = xml(text).find(f".//primitive[@id='{primitive}']/instance_attributes")
    assert found is not None
    return {pair.attrib["name"]: pair.attrib["value"] for pair in found}


def test_levels_are_tried_in_order_and_one_level_cuts_together() -> None:
    found = xml(rendered(levels=2)).findall(".//fencing-level")
    assert [(e.get("target"), e.get("index"), e.get("devices")) for e in found] == [
        (node, level, devices)
        for node in ("justinian", "julius")
        for level, devices in (
            ("1", f"ks-fence-{node}-1"),
            ("2", f"ks-fence-{node}-2,ks-fence-{node}-2-2"),
        )
    ]
    assert not xml(rendered()).findall(".//fencing-level")


@pytest.mark.parametrize("levels", [1, 2])
def test_exactly_the_first_device_against_the_first_node_waits(levels: int) -> None:
    text = rendered(levels=levels)
    waiting = [
        device.id
        for device in devices(a_pair() if levels == 1 else two_levels())
        if "pcmk_delay_base" in attributes(text, device.id)
    ]
    assert waiting == ["ks-fence-justinian-1"]


@pytest.mark.parametrize("agents", list(itertools.product([*AGENTS, "custom"], repeat=2)))
def test_exactly_one_side_waits_whatever_the_agents(agents: tuple[str, str]) -> None:
    pair = a_pair()
    first, second = (
        replace(node, fencing=(FenceDevice(1, agent, "bmc", None, "u", None, "/usr/sbin/fence_x"),))
        for node, agent in zip(pair.nodes, agents)
    )
    text = cib.text(replace(pair, nodes=(first, second)))
    delays = [attributes(text, f"ks-fence-{n}-1").get("pcmk_delay_base") for n in NAMES]
    assert delays == ["10s", None]


def test_timeouts_grow_and_intervals_stay() -> None:
    once, twice = (xml(rendered(factor=factor)) for factor in (1, 2))
    for one, two in zip(once.iter("op"), twice.iter("op")):
        assert int(two.attrib["timeout"][:-1]) == 2 * int(one.attrib["timeout"][:-1])
        assert two.attrib["interval"] == one.attrib["interval"]
    told = [cib.find(".//alert//nvpair[@name='timeout']") for cib in (once, twice)]
    assert [nvpair is not None and nvpair.attrib["value"] for nvpair in told] == ["30s", "60s"]


def test_a_failure_is_forgotten_as_soon_on_a_slow_machine() -> None:
    slow = xml(rendered(factor=4)).find(".//nvpair[@name='failure-timeout']")
    assert slow is not None
    assert slow.attrib["value"] == "600s"


@pytest.mark.parametrize(
    ("device", "agent", "options"),
    [
        (("ilo4", "bmc", 6230), "fence_ilo4", {**IPMI, "ipport": "6230"}),
        (("ilo5", "bmc", None), "fence_ilo5", IPMI),
        (("redfish", "bmc", None), "fence_redfish", {"ip": "bmc", "ssl_insecure": "1"}),
    ],
)
def test_each_agent_gets_options_it_knows(
    device: tuple[str, str, int], agent: str, options: dict[str, str]
) -> None:
    pair = a_pair()
    fencing = (FenceDevice(1, *device, "ksfence", None, None),)
    (ours, _) = devices(
        replace(pair, nodes=(replace(pair.nodes[0], fencing=fencing), pair.nodes[1]))
    )
    assert (ours.agent, ours.options) == (agent, {"username": "ksfence", **options})
    told = subprocess.run([agent, "-o", "metadata"], capture_output=True, text=True, check=True)
    known = {e.get("name") for e in xml(told.stdout).iter("parameter")}
    assert {*ours.options, "password_script"} <= known


def test_a_command_that_pacemaker_can_not_run_is_refused() -> None:
    pair = a_pair()
    fencing = (FenceDevice(1, "custom", None, None, "u", None, "/usr/local/sbin/fence_pdu"),)
    with pytest.raises(ValueError, match="pacemaker can't run it"):
        devices(replace(pair, nodes=(replace(pair.nodes[0], fencing=fencing), pair.nodes[1])))


def test_the_peers_passwords_are_printed_by_private_scripts(tmp_path: Path) -> None:
    files = {str(file.path): file for file in cib.render(an_identity("julius"))}
    script: ConfigFile = files[f"{SCRIPT}justinian-1"]
    assert files.keys() == {"/etc/ksbuild/cib.xml", str(script.path)}
    assert script.mode == 0o700
    secret = tmp_path / "fence-justinian-1"
    secret.write_text("s3cret")
    program = tmp_path / "script"
    program.write_text(script.text.replace("/etc/ksbuild/secrets", str(tmp_path)))
    program.chmod(script.mode)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "s3cret"
