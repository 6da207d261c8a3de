"""Is the machine fit? RAID, modules, processor, SELinux, clock, room."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firstboot import facts, latches, raid
from firstboot.commands import Result
from firstboot.commands import run as real_run
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.preflight import Preflight
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_steps import lay, lay_disk, lay_machine

RECORDED = Path(__file__).parent / "raid"
ARTICLE = (RECORDED / "hpacucli-article.txt").read_text()
DEGRADED = (RECORDED / "assumed-ssacli-degraded.txt").read_text()
NOW = 1_795_000_000.0  # in 2026


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


def a_context(root: Path, run: ScriptedRun, identity: Identity) -> Context:
    lay_machine(root)
    lay_disk(root, 75497472)
    return Context(identity, root, run, Told(), Meeting(identity, root, "boot"))


@pytest.fixture
def context(tmp_path: Path, run: ScriptedRun) -> Context:
    return a_context(tmp_path, run, an_identity())


def preflight(context: Context, now: float = NOW, kernel: str = "") -> Preflight:
    """The step; when it asks what the kernel's log says, that is it."""

    def run(argv: Sequence[str], **options: Any) -> Result:
        if argv == ["dmesg"]:
            return Result(("dmesg",), 0, kernel, "")
        return context.run(argv, **options)

    return Preflight(replace(context, run=run), now=lambda: now)


def lay_tool(root: Path, name: str) -> None:
    lay(root, f"usr/sbin/{name}", "")


def evidence(context: Context) -> Refused:
    with pytest.raises(Refused) as caught:
        preflight(context).check()
    assert caught.value.way_out
    return caught.value


def test_the_articles_own_array() -> None:
    drives = raid.parse(ARTICLE)
    assert [d.name for d in drives if d.kind == "logicaldrive"] == ["1"]
    assert [d.name for d in drives if d.kind == "physicaldrive"] == [
        *("1I:1:1", "1I:1:2", "1I:1:3", "1I:1:4", "2I:1:5", "2I:1:6", "2I:1:7", "2I:1:8"),
    ]
    assert {d.state for d in drives} == {"OK"}
    assert not raid.faults(drives)


def test_every_fault_is_found() -> None:
    drives = raid.parse(DEGRADED)
    assert len(drives) == 9
    assert [str(d) for d in raid.faults(drives)] == [
        "logicaldrive 2 is Interim Recovery Mode",
        "logicaldrive 3 is Recovering, 26% complete",
        "physicaldrive 2I:1:5 is Predictive Failure",
        "physicaldrive 2I:1:6 is Failed",
        "physicaldrive 2I:1:7 is Rebuilding",
    ]


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("   logicaldrive 1 (1.36 TB, RAID 5): OK", "OK"),
        ("   logicaldrive 1 (1.36 TB, RAID 5): Failed", "Failed"),
        ("   logicaldrive 1 (1.36 TB, RAID 5)", ""),
        ("   physicaldrive 1:0 (port 1:id 0 , Parallel SCSI, ??? GB, Failed)", "Failed"),
    ],
)
def test_other_shapes_of_a_line(line: str, state: str) -> None:
    (drive,) = raid.parse(line)
    assert drive.state == state
    assert bool(raid.faults([drive])) == (state != "OK")


@pytest.mark.parametrize("tool", raid.TOOLS)
def test_a_whole_array_goes_on(context: Context, run: ScriptedRun, tool: str) -> None:
    lay_tool(context.root, tool)
    run.expect(f"{tool} ctrl all show config", ARTICLE)
    assert not preflight(context).check()
    run.assert_finished()


def test_a_degraded_array_refuses_or_warns(context: Context, run: ScriptedRun) -> None:
    lay_tool(context.root, "ssacli")
    run.expect("ssacli ctrl all show config", DEGRADED)
    refused = evidence(context)
    assert "physicaldrive 2I:1:6 is Failed" in refused.evidence
    pair = context.identity.pair
    pair = replace(pair, storage=replace(pair.storage, raid_degraded="warn"))
    warned = replace(context, identity=replace(context.identity, pair=pair))
    run.expect("ssacli ctrl all show config", DEGRADED)
    step = preflight(warned)
    assert not step.check()
    assert "physicaldrive 2I:1:6 is Failed" in step.remark()


def test_another_makers_controller_is_none_of_its_business(
    context: Context, run: ScriptedRun
) -> None:
    lay_tool(context.root, "ssacli")
    run.expect("ssacli ctrl all show config", "\nError: No controllers detected.\n", returncode=1)
    assert not preflight(context).check()


def test_a_complete_node_does_not_ask_the_controller(context: Context) -> None:
    lay_tool(context.root, "ssacli")
    latches.set_once(context.root, latches.COMPLETE, "")
    assert not preflight(context).check()


@pytest.mark.parametrize(
    ("module", "package"),
    [("drbd", "kmod-drbd9x"), ("gfs2", "kernel-modules-core"), ("dlm", "kernel-modules-core")],
)
def test_a_missing_module_names_its_package(
    context: Context, run: ScriptedRun, module: str, package: str
) -> None:
    shutil.rmtree(context.root / "sys/module" / module)
    run.expect(f"modinfo -F version {module}", returncode=1)
    refused = evidence(context)
    assert refused.evidence == f"this kernel has no module {module}"
    assert package in refused.way_out


def test_drbd_8_is_for_the_lab_alone(tmp_path: Path, run: ScriptedRun) -> None:
    context = a_context(tmp_path, run, an_identity())
    lay(context.root, "sys/module/drbd/version", "8.4.11")
    assert "version 8.4.11; 9 is needed" in evidence(context).evidence
    lab = replace(context, identity=an_identity(platform="debian12-lab"))
    assert not preflight(lab).check()


def test_modinfo_itself_is_understood(tmp_path: Path) -> None:
    assert facts.module_version(real_run, tmp_path, "no_such_module") is None


def test_a_processor_without_virtualization(context: Context) -> None:
    lay(context.root, "proc/cpuinfo", "flags\t\t: fpu vme\nbugs\t\t: vmx")
    assert "no virtualization" in evidence(context).evidence
    lay(context.root, "dev/kvm", "")
    assert not preflight(context).check()


@pytest.mark.parametrize(("enforce", "state"), [("0", "permissive"), (None, "disabled")])
def test_selinux_off(context: Context, enforce: "str | None", state: str) -> None:
    if enforce is None:
        (context.root / "sys/fs/selinux/enforce").unlink()
    else:
        lay(context.root, "sys/fs/selinux/enforce", enforce)
    assert evidence(context).evidence == f"SELinux is {state}, not enforcing"


@pytest.mark.parametrize(("now", "said"), [(0.0, "1970-01-01"), (4_300_000_000.0, "2106-04-06")])
def test_an_odd_clock_is_told_and_no_more(context: Context, now: float, said: str) -> None:
    step = preflight(context, now)
    assert not step.check()
    assert f"the clock says {said}" in step.remark()
    step = preflight(context)
    step.check()
    assert not step.remark()


@pytest.mark.parametrize(
    "said",
    [
        "[    2.1] systemd[1]: System time before build time, advancing clock.\n",  # 252.39
        "systemd[1]: System time advanced to built-in epoch: Tue 2025-06-10 14:02:44 UTC\n",
    ],
)
def test_a_clock_that_systemd_moved_is_told(context: Context, said: str) -> None:
    step = preflight(context, kernel=f"[    2.0] Linux version 5.14.0\n{said}")
    assert not step.check()
    assert step.remark().startswith("the clock was years behind when this node booted")


def test_no_room(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "free_mib", lambda _: 511)
    assert "511 MiB are free" in evidence(context).evidence
