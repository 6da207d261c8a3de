"""ksnode update: when a node may be taken out, in which order it is renewed, and how it resumes."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import drbd, latches, pacemaker, updating
from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.journal import STATE
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.updating import PACKAGES, RESTART, Record, after_restart, unmatched, unwhole
from firstboot.verbs.update import go_on, update
from firstboot.verbs.waiting import NotYet
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_cluster_steps import MOUNTED, no_sleep
from tests.firstboot.test_pacemaker import LOOK
from tests.firstboot.test_poweroff import STANDBY, STOP, WHOLE, away, standing_by, without

RUNNING, NEW = "5.14.0-503.11.1.el9_5.x86_64", "5.14.0-570.12.1.el9_6.x86_64"
STATUS = "drbdsetup status --json"
CHECK = "dnf --quiet check-update"
DOWNLOAD = "dnf --assumeyes --quiet --downloadonly upgrade"
UPGRADE = "dnf --assumeyes --quiet upgrade"
START = "systemctl start --no-block corosync.service pacemaker.service"
# tests/packages/test_renewing.py asks the real dnf.
ASSUMED_NEWER = f"\nkernel.x86_64    {NEW[:-7]}    baseos\npacemaker.x86_64    2.1.9-1.el9    ha\n"


def in_sync(**changes: str) -> str:
    """`drbdsetup status --json` of a whole pair, or not quite."""
    shown = json.loads(
        (Path(__file__).parent / "recorded/assumed-drbdsetup-status-9.json").read_text()
    )
    (resource,) = (one for one in shown if one["name"] == "vmdata")
    (device,), (connection,) = resource["devices"], resource["connections"]
    (peer,) = connection["peer_devices"]
    resource["role"] = connection["peer-role"] = "Primary"
    device["disk-state"] = peer["peer-disk-state"] = "UpToDate"
    connection["connection-state"], peer["replication-state"] = "Connected", "Established"
    peer.pop("percent-resync-done", None)
    peer.update(changes)
    return json.dumps(shown)


SYNCED = in_sync()
BEHIND = in_sync(**{"peer-disk-state": "Inconsistent", "replication-state": "SyncSource"})


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def identity() -> Identity:
    return an_identity()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("boot-1\n")
    (tmp_path / "proc/sys/kernel/osrelease").write_text(f"{RUNNING}\n")
    (tmp_path / "proc/mounts").write_text("proc /proc proc rw 0 0\n")
    (tmp_path / "proc/drbd").write_text("version: 9.2.12\n")
    latches.set_once(tmp_path, latches.COMPLETE, "")
    return tmp_path


def boot_again(root: Path) -> None:
    (root / "proc/sys/kernel/random/boot_id").write_text("boot-2\n")


def look(run: ScriptedRun, shown: str = WHOLE, status: str = SYNCED) -> ScriptedRun:
    return run.expect(LOOK, shown).expect(STATUS, status)


def modinfo(run: ScriptedRun, drbd9: "str | None" = "9.2.12") -> ScriptedRun:
    run.expect("grubby --default-kernel", f"/boot/vmlinuz-{NEW}\n")
    ask = f"modinfo -k {NEW} -F version"
    run.expect(f"{ask} drbd", drbd9 or "", 0 if drbd9 else 1)
    return run.expect(f"{ask} gfs2").expect(f"{ask} dlm")


def leave(run: ScriptedRun) -> ScriptedRun:
    run.expect(DOWNLOAD).expect(STANDBY).expect(LOOK, without(WHOLE, "justinian"))
    return run.expect(STOP)


def test_a_node_is_renewed_while_the_other_carries_on(
    identity: Identity, root: Path, run: ScriptedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    modinfo(leave(look(run).expect(CHECK, ASSUMED_NEWER, 100)).expect(UPGRADE))
    run.expect("systemctl reboot")
    go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()
    assert updating.load(root) == Record(RESTART, "boot-1")
    assert "to be renewed: kernel.x86_64, pacemaker.x86_64" in capsys.readouterr().out


def test_back_from_its_restart_it_waits_for_the_resync_and_names_the_other(
    identity: Identity, root: Path, run: ScriptedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    updating.save(root, Record(RESTART, "boot-1"))
    boot_again(root)
    look(look(look(run, away(WHOLE, "justinian")), status=BEHIND))
    go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()
    assert updating.load(root) is None
    said = capsys.readouterr().out
    assert "justinian is updated; next, unless that is done: ksnode update on julius" in said


@pytest.mark.parametrize(
    ("shown", "status", "why"),
    [
        (away(WHOLE, "julius"), SYNCED, "julius is not online"),
        (without(WHOLE, "julius"), SYNCED, "ks-vmdata is not started on julius"),
        (standing_by(WHOLE, "julius"), SYNCED, "julius is in standby"),
        (WHOLE.replace('health="green"', 'health="red"', 1), SYNCED, "julius is in bad health"),
        (WHOLE, BEHIND, "UpToDate/Inconsistent"),
        (WHOLE.replace('unclean="false"', 'unclean="true"', 1), SYNCED, "julius is not clean"),
    ],
)
def test_a_pair_that_is_not_whole_spares_no_node(
    identity: Identity, root: Path, run: ScriptedRun, shown: str, status: str, why: str
) -> None:
    look(run, shown, status)
    with pytest.raises(Refused, match=f"can't spare justinian: .*{why}"):
        go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()
    assert updating.load(root) is None


def test_failed_actions_count(identity: Identity) -> None:
    state, synced = pacemaker.parse(WHOLE), drbd.parse_json(SYNCED)
    assert unwhole(identity, state, synced) == []
    failed = replace(state, failures=("vm1_start_0 on julius: error",))
    assert unwhole(identity, failed, synced) == ["vm1_start_0 on julius: error"]


@pytest.mark.parametrize(
    ("version", "lacks"),
    [(None, r"drbd \(dnf install kmod-drbd9x\)"), ("8.4.11", "drbd 9, and has 8.4.11")],
)
def test_it_restarts_into_no_kernel_without_its_drbd(
    identity: Identity, root: Path, run: ScriptedRun, version: "str | None", lacks: str
) -> None:
    leave(look(run).expect(CHECK, ASSUMED_NEWER, 100)).expect(UPGRADE)
    modinfo(run, version).expect(START)
    with pytest.raises(Refused, match=f"kernel {NEW} lacks {lacks}") as refused:
        go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()
    assert f"grubby --set-default /boot/vmlinuz-{RUNNING}" in refused.value.way_out
    assert updating.load(root) == Record(PACKAGES, "boot-1")


def test_the_kernels_own_modules_are_named_with_its_version() -> None:
    assert unmatched(NEW, {"gfs2": None, "drbd": "9.2.12"}, drbd9=True) == [
        f'gfs2 (dnf install kernel-modules-core-"{NEW}")'
    ]


def test_the_labs_drbd_is_older() -> None:
    assert not unmatched(NEW, {"drbd": "8.4.11"}, drbd9=False)


def test_a_failed_dnf_brings_the_node_back(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    leave(look(run).expect(CHECK, ASSUMED_NEWER, 100)).expect(UPGRADE, returncode=1).expect(START)
    with pytest.raises(CommandError, match="upgrade exited 1"):
        go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()


def test_a_file_system_that_stays_is_left_with_its_cluster(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    (root / "proc/mounts").write_text(MOUNTED)
    leave(look(run).expect(CHECK, ASSUMED_NEWER, 100)).expect(START)
    with pytest.raises(NotYet, match="still mounted"):
        go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()


def test_what_can_not_be_downloaded_moves_nothing(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    look(run).expect(CHECK, ASSUMED_NEWER, 100).expect(DOWNLOAD, returncode=1)
    with pytest.raises(CommandError):
        go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()
    assert updating.load(root) is None


def test_nothing_newer(
    identity: Identity, root: Path, run: ScriptedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    look(run).expect(CHECK).expect("grubby --default-kernel", f"/boot/vmlinuz-{RUNNING}\n")
    go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()
    assert "nothing is to be updated" in capsys.readouterr().out


def test_a_kernel_that_was_installed_and_never_booted_is(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    look(run).expect(CHECK).expect("grubby --default-kernel", f"/boot/vmlinuz-{NEW}\n")
    go_on(identity, root, run, dry_run=True)
    run.assert_finished()
    assert updating.load(root) is None


def test_cut_off_within_it_is_begun_anew_if_the_other_can_carry_on(
    identity: Identity, root: Path, run: ScriptedRun
) -> None:
    updating.save(root, Record(PACKAGES, "boot-1"))
    boot_again(root)
    out = without(standing_by(WHOLE, "justinian"), "justinian")
    look(run, out).expect(CHECK).expect("grubby --default-kernel", f"/boot/vmlinuz-{NEW}\n")
    modinfo(leave(run).expect(UPGRADE)).expect("systemctl reboot")
    go_on(identity, root, run, sleep=no_sleep)
    run.assert_finished()
    assert updating.load(root) == Record(RESTART, "boot-2")
    for shown, status in ((without(WHOLE, "julius"), SYNCED), (out, BEHIND)):
        with pytest.raises(Refused, match="can't spare justinian"):
            go_on(identity, root, look(run, shown, status), sleep=no_sleep)
        boot_again(root)
        updating.save(root, Record(PACKAGES, "boot-1"))
    with pytest.raises(Refused, match="the cluster does not run on justinian"):
        go_on(identity, root, run.expect(LOOK, "", 102).expect(STATUS, SYNCED), sleep=no_sleep)


def test_a_record_that_makes_no_sense(identity: Identity, root: Path, run: ScriptedRun) -> None:
    (root / updating.RECORD).write_text('{"phase": "packages"')
    with pytest.raises(Refused, match=r"update\.json makes no sense"):
        go_on(identity, root, run)


def test_a_node_that_is_not_complete_is_refused(
    identity: Identity, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / STATE / latches.COMPLETE).unlink()
    assert update(identity, root, argparse.Namespace(dry_run=False)) == 5
    assert "justinian is not complete" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("record", "boot", "shown", "event"),
    [
        (Record(PACKAGES, "boot-1"), "boot-1", None, "waiting"),
        (Record(PACKAGES, "boot-1"), "boot-2", None, "failed"),
        (Record(RESTART, "boot-1"), "boot-2", away(WHOLE, "justinian"), "waiting"),
        (Record(RESTART, "boot-1"), "boot-2", WHOLE, "ok"),
    ],
)
def test_the_agent_tells_of_it(
    identity: Identity, root: Path, record: Record, boot: str, shown: "str | None", event: str
) -> None:
    run = ScriptedRun()
    context = Context(identity, root, run, Told(), Meeting(identity, root, boot))
    assert after_restart(context) is None
    updating.save(root, record)
    (root / "proc/sys/kernel/random/boot_id").write_text(boot)
    if shown is not None:
        run.expect(STATUS, SYNCED).expect(LOOK, shown)
    told = after_restart(context)
    assert told
    assert told[0] == event
    assert (updating.load(root) is None) == (event == "ok")
    run.assert_finished()
