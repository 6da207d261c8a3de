"""The steps cluster and fence-devices, against what pacemaker was recorded to say."""

import base64
import re
from pathlib import Path

import pytest

from firstboot import gate, latches, mount
from firstboot.engine import Refused, StepFailed
from firstboot.render import cib
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.cluster import AUTHKEY, ClusterUp
from firstboot.steps.fencedevices import FenceDevices
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_pacemaker import LOOK, recorded

KEY = bytes(range(256))
ACTIVE = "systemctl is-active corosync.service pacemaker.service"
QUERY = "cibadmin --query"
LSATTR = "lsattr -d /srv/vmdata"
LOAD = "cibadmin --modify --allow-create --scope configuration --xml-file /etc/ksbuild/cib.xml"
BLANK = "<cib><configuration><resources/><constraints/></configuration></cib>"
MOUNTED = "/dev/sda5 / xfs rw 0 0\n/dev/drbd0 /srv/vmdata gfs2 rw,noatime,nodiratime 0 0\n"


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


def a_context(root: Path, run: ScriptedRun, told: Told, node: str = "justinian") -> Context:
    identity = an_identity(node)
    for folder in ("proc/sys/kernel/random", "etc/ksbuild/secrets", "var/lib/ksbuild"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "proc/sys/kernel/random/boot_id").write_text("b\n")
    (root / "proc/mounts").write_text("/dev/sda5 / xfs rw 0 0\n")
    (root / "etc/ksbuild/secrets/authkey").write_text(base64.b64encode(KEY).decode())
    return Context(identity, root, run, told, Meeting(identity, root, "b"))


@pytest.fixture
def context(tmp_path: Path, run: ScriptedRun, told: Told) -> Context:
    return a_context(tmp_path, run, told)


def no_sleep(_: float) -> None:
    """Time passes at once."""


def prepare(context: Context, run: ScriptedRun, step: ClusterUp) -> None:
    """Lay everything the step writes, as a first apply() does."""
    run.expect("systemctl daemon-reload").expect("chattr +i /srv/vmdata")
    run.expect("systemctl start --no-block corosync.service pacemaker.service")
    run.expect(ACTIVE, "active\nactive\n").expect(LOOK, recorded("online"))
    run.expect(QUERY, cib.text(context.identity.pair))
    if context.identity.first:
        run.expect(QUERY, cib.text(context.identity.pair))
    step.apply()
    run.assert_finished()


def test_cluster_from_nothing(context: Context, run: ScriptedRun, told: Told) -> None:
    step = ClusterUp(context, no_sleep)
    run.expect(LOOK, "", 102)
    missing = step.check()
    assert missing[-3:] == [
        f"/{AUTHKEY} is not the pair's", "there is no /srv/vmdata", "the cluster is not started"
    ]  # fmt: skip
    run.expect("systemctl daemon-reload").expect("chattr +i /srv/vmdata")
    run.expect("systemctl start --no-block corosync.service pacemaker.service")
    run.expect(ACTIVE, "active\nactive\n").expect(LOOK, "", 102)
    run.expect(ACTIVE, "active\nactive\n").expect(LOOK, recorded("joining"))
    run.expect(ACTIVE, "active\nactive\n").expect(LOOK, recorded("online"))
    run.expect(QUERY, BLANK).expect(LOAD).expect(QUERY, cib.text(context.identity.pair))
    step.apply()
    run.assert_finished()
    assert [detail for _, _, detail in told.events] == [
        "pacemaker does not answer yet", "justinian is not online; julius is not online"
    ]  # fmt: skip
    key = context.root / AUTHKEY
    assert (key.read_bytes(), key.stat().st_mode & 0o7777) == (KEY, 0o400)
    run.expect(LSATTR, "----i-------------- /srv/vmdata\n")
    run.expect(LOOK, recorded("online")).expect(QUERY, cib.text(context.identity.pair))
    assert not step.check()
    assert not step.remark()
    run.assert_finished()


def test_the_second_node_never_loads_the_configuration(tmp_path: Path, told: Told) -> None:
    run = ScriptedRun()
    context = a_context(tmp_path, run, told, "julius")
    run.expect("systemctl daemon-reload").expect("chattr +i /srv/vmdata")
    run.expect("systemctl start --no-block corosync.service pacemaker.service")
    run.expect(ACTIVE, "active\nactive\n").expect(LOOK, recorded("online"))
    run.expect(QUERY, BLANK).expect(QUERY, cib.text(context.identity.pair))
    ClusterUp(context, no_sleep).apply()
    run.assert_finished()
    assert told.events[-1][2] == "justinian has not loaded the configuration"


def test_a_configuration_that_is_there_is_not_loaded_again(
    context: Context, run: ScriptedRun
) -> None:
    prepare(context, run, ClusterUp(context, no_sleep))


def test_resources_of_somebody_else_are_refused(context: Context, run: ScriptedRun) -> None:
    step = ClusterUp(context, no_sleep)
    prepare(context, run, step)
    live = BLANK.replace("<resources/>", '<resources><primitive id="vm"/></resources>')
    run.expect(LSATTR, "----i---- /srv/vmdata").expect(LOOK, recorded("online"))
    run.expect(QUERY, live)
    with pytest.raises(Refused, match="holds resources, and not the pair's"):
        step.check()


def test_a_daemon_that_fails_ends_the_wait(context: Context, run: ScriptedRun) -> None:
    run.expect("systemctl daemon-reload").expect("chattr +i /srv/vmdata")
    run.expect("systemctl start --no-block corosync.service pacemaker.service")
    run.expect(ACTIVE, "failed\ninactive\n", 3)
    with pytest.raises(StepFailed, match="journalctl --boot --unit corosync"):
        ClusterUp(context, no_sleep).apply()


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(KEY[:127]).decode()])
def test_a_key_that_is_none_is_refused(context: Context, text: str) -> None:
    (context.root / "etc/ksbuild/secrets/authkey").write_text(text)
    with pytest.raises(Refused, match="secret authkey is not base64"):
        ClusterUp(context, no_sleep).apply()


def test_what_lies_at_the_mount_point_is_left_alone(context: Context) -> None:
    (context.root / "srv/vmdata").mkdir(parents=True)
    (context.root / "srv/vmdata/guest.img").write_text("data")
    with pytest.raises(Refused, match=r"holds guest\.img on the system's own disk"):
        ClusterUp(context, no_sleep).check()


def complete(context: Context, run: ScriptedRun) -> ClusterUp:
    step = ClusterUp(context, no_sleep)
    prepare(context, run, step)
    latches.set_once(context.root, latches.COMPLETE, "")
    (context.root / "proc/mounts").write_text(MOUNTED)
    return step


@pytest.mark.parametrize("images", [[], ["image"]])
def test_what_is_mounted_while_it_is_looked_at_is_no_complaint(
    context: Context, run: ScriptedRun, monkeypatch: pytest.MonkeyPatch, images: list[str]
) -> None:
    """pacemaker mounts when it likes; what was seen then is the file system itself."""
    place = context.root / "srv/vmdata"
    place.mkdir(parents=True)
    for name in images:
        (place / name).touch()
    run.expect(LSATTR, "-------------------- /srv/vmdata\n")
    seen = iter(["", MOUNTED])
    monkeypatch.setattr(mount, "table", lambda _: next(seen))
    assert not mount.unprepared(context)


def test_on_a_complete_node_the_gate_alone_starts_the_cluster(
    context: Context, run: ScriptedRun
) -> None:
    step = complete(context, run)
    gate.say(context.root, "b", "julius answers on no link")
    run.expect(LOOK, "", 102)
    assert step.check() == ["the cluster is not started: julius answers on no link"]
    run.expect("systemctl start --no-block ksbuild-gate.service")
    step.apply()
    run.assert_finished()


def test_on_a_complete_node_drift_and_a_lost_peer_are_remarks(
    context: Context, run: ScriptedRun
) -> None:
    step = complete(context, run)
    alone = re.sub('(name="julius" id="2" online=)"true"', r'\1"false"', recorded("mounted"))
    live = cib.text(context.identity.pair).replace('"60s"', '"61s"', 1)
    run.expect(LOOK, alone).expect(QUERY, live)
    assert not step.check()
    assert step.remark() == (
        "julius is not online; ks-options-stonith-timeout: value is 61s, planned 60s"
    )


def test_while_the_lost_peer_can_not_be_fenced_a_human_is_told_what_to_type(
    context: Context, run: ScriptedRun
) -> None:
    """Storage waits until pacemaker knows that the peer is off; only a human can know it here."""
    step = complete(context, run)
    lost = r'(name="julius" id="2" online=)"true"( [^>]*unclean=)"false"'
    run.expect(LOOK, re.sub(lost, r'\1"false"\2"true"', recorded("mounted")))
    assert step.check() == [
        "julius is lost and not fenced: until it is, /srv/vmdata waits",
        "next: if you have seen that julius is off: stonith_admin --confirm julius",
    ]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("online", "ks-fence-julius-1 is not started on justinian"),
        ("unfenced", "ks-fence-julius-1_start_0 on justinian: error"),
        ("fenced", ""),
        ("mounted", ""),
    ],
)
def test_fence_devices(context: Context, run: ScriptedRun, name: str, missing: str) -> None:
    run.expect(LOOK, recorded(name))
    found = FenceDevices(context, no_sleep).check()
    assert missing in found if missing else not found


def test_a_fence_device_on_the_wrong_node_or_unwatched(context: Context, run: ScriptedRun) -> None:
    swapped = recorded("fenced").replace(
        '<node name="julius" id="2" cached', '<node name="x" cached'
    )
    run.expect(LOOK, swapped)
    assert "ks-fence-justinian-1 is not started on julius" in FenceDevices(context).check()
    unwatched = recorded("fenced").replace('interval="60000ms"', "")
    run.expect(LOOK, unwatched)
    assert "ks-fence-julius-1 is not watched on justinian" in FenceDevices(context).check()


@pytest.mark.parametrize(("node", "cleaned"), [("justinian", 2), ("julius", 0)])
def test_only_the_first_node_has_a_failed_device_tried_again(
    tmp_path: Path, told: Told, node: str, cleaned: int
) -> None:
    run = ScriptedRun()
    context = a_context(tmp_path, run, told, node)
    for look in range(1, 11):
        run.expect(LOOK, recorded("unfenced")).expect(LOOK, recorded("unfenced"))
        if cleaned and look % 5 == 0:
            device = ("justinian", "julius")[look // 5 % 2]
            run.expect(f"crm_resource --cleanup --resource ks-fence-{device}-1")
    run.expect(LOOK, recorded("fenced"))
    FenceDevices(context, no_sleep).apply()
    run.assert_finished()


def test_a_complete_node_answers_for_its_own_device(context: Context, run: ScriptedRun) -> None:
    latches.set_once(context.root, latches.COMPLETE, "")
    run.expect(
        LOOK, recorded("fenced").replace('<node name="julius" id="2" cached', "<node cached")
    )
    assert not FenceDevices(context).check()
