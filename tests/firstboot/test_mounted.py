"""The step mounted: what is released, what is waited for, and what a mount must be."""

from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from firstboot import latches
from firstboot.engine import StepFailed
from firstboot.render import cib
from firstboot.steps import Context
from firstboot.steps.mounted import Mounted
from tests.firstboot.conftest import ScriptedRun, Told, a_pair
from tests.firstboot.test_cluster_steps import MOUNTED, a_context, no_sleep
from tests.firstboot.test_pacemaker import LOOK, recorded

GATE_LINK = "etc/systemd/system/multi-user.target.wants/ksbuild-gate.service"


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def context(tmp_path: Path, run: ScriptedRun, told: Told) -> Context:
    return a_context(tmp_path, run, told)


def mounts(root: Path) -> Callable[[float], None]:
    """Time in which pacemaker mounts."""

    def nap(_: float) -> None:
        (root / "proc/mounts").write_text(MOUNTED)

    return nap


def test_the_first_node_releases_and_waits(context: Context, run: ScriptedRun, told: Told) -> None:
    step = Mounted(context, mounts(context.root))
    assert step.check() == [
        "/srv/vmdata is not mounted", "ksbuild-gate.service is not enabled"
    ]  # fmt: skip
    run.expect("systemctl enable ksbuild-gate.service").expect(LOOK, recorded("fenced"))
    for clone in cib.CLONES:
        run.expect(f"crm_resource --resource {clone} --meta --delete-parameter target-role")
    step.apply()
    run.assert_finished()
    assert told.events == [
        ("mounted", "waiting", "/srv/vmdata is not mounted; DRBD is down;"
         " ks-drbd is not promoted; ks-dlm is not started")
    ]  # fmt: skip
    link = context.root / GATE_LINK
    link.parent.mkdir(parents=True)
    link.symlink_to("../ksbuild-gate.service")
    assert not step.check()


def test_the_second_node_releases_nothing(tmp_path: Path, told: Told) -> None:
    run = ScriptedRun()
    context = a_context(tmp_path, run, told, "julius")
    run.expect("systemctl enable ksbuild-gate.service").expect(LOOK, recorded("fenced"))
    Mounted(context, mounts(tmp_path)).apply()
    run.assert_finished()


def test_a_node_that_receives_its_data_waits_without_a_deadline(
    tmp_path: Path, run: ScriptedRun, told: Told
) -> None:
    context = a_context(tmp_path, run, told, "julius")
    pair = a_pair("debian12-lab")
    context = replace(context, identity=replace(context.identity, pair=pair))
    syncing = (
        " 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----\n"
        "    ns:0 nr:1 dw:1 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:9\n"
        "\t[>....................] sync'ed:  4.2% (9/9)M\n\tfinish: 1:02:03 speed: 1 K/sec\n"
    )
    (tmp_path / "proc/drbd").write_text(syncing)
    run.expect("systemctl enable ksbuild-gate.service")
    for _ in range(300):
        run.expect(LOOK, recorded("fenced"))
    naps = iter(range(299, -1, -1))

    def nap(_: float) -> None:
        if next(naps) == 0:
            (tmp_path / "proc/mounts").write_text(MOUNTED)

    Mounted(context, nap).apply()
    run.assert_finished()
    assert "4.2% done" in told.events[-1][2]


def test_a_mount_that_never_comes_fails_with_the_next_command(
    context: Context, run: ScriptedRun
) -> None:
    run.expect("systemctl enable ksbuild-gate.service")
    for _ in range(201):
        run.expect(LOOK, recorded("online"))
    with pytest.raises(StepFailed, match=r"not mounted.*next: crm_mon"):
        Mounted(context, no_sleep).apply()
    run.assert_finished()


def test_a_complete_node_that_was_stopped_stays_so(context: Context, run: ScriptedRun) -> None:
    latches.set_once(context.root, latches.COMPLETE, "")
    run.expect("systemctl enable ksbuild-gate.service")
    Mounted(context, no_sleep).apply()
    run.assert_finished()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("/dev/drbd0 /srv/vmdata gfs2 ro,noatime,nodiratime 0 0", "without rw"),
        ("/dev/drbd0 /srv/vmdata gfs2 rw,relatime 0 0", "without noatime"),
        ("/dev/sdb1 /srv/vmdata gfs2 rw,noatime,nodiratime 0 0", "is not mounted"),
        (f"{MOUNTED}tmpfs /srv/vmdata tmpfs rw 0 0", "is not mounted"),
    ],
)
def test_what_is_mounted_is_looked_at(context: Context, line: str, fault: str) -> None:
    (context.root / "proc/mounts").write_text(f"{line}\n")
    assert fault in Mounted(context).check()[0]
