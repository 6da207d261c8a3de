"""The rate of a resync is changed in DRBD's life, and in nothing that pacemaker brings up."""

from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import files
from firstboot.commands import CommandError
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.resync import Resync
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_filesystem import lay_proc

SET = "drbdsetup disk-options 0 --resync-rate=77M --c-max-rate=77M --c-min-rate=16M"
SET += " --c-plan-ahead=20 --c-fill-target=1M"


def a_step(root: Path, run: ScriptedRun) -> Resync:
    identity = an_identity("julius", "debian12-lab")
    pair = replace(identity.pair, drbd=replace(identity.pair.drbd, resync_mib_s=77))
    identity = replace(identity, pair=pair)
    (root / files.SECRETS).mkdir(parents=True)
    (root / files.SECRETS / "drbd").write_text("0123")
    return Resync(Context(identity, root, run, Told(), Meeting(identity, root, "boot")))


def test_what_runs_is_told(tmp_path: Path) -> None:
    run = ScriptedRun().expect(SET)
    step = a_step(tmp_path, run)
    lay_proc(tmp_path, "primary")
    assert step.check()
    step.apply()
    run.assert_finished()
    assert not step.check()
    assert "c-max-rate 77M;" in (tmp_path / "etc/drbd.d/vmdata.res").read_text()


@pytest.mark.parametrize("state", ["not loaded", "not up", "without a disk"])
def test_what_does_not_run_reads_the_file_when_it_does(tmp_path: Path, state: str) -> None:
    step = a_step(tmp_path, ScriptedRun())
    if state == "not up":
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/drbd").write_text("version: 8.4.11\n")
    elif state == "without a disk":
        lay_proc(tmp_path, "primary")
        text = (tmp_path / "proc/drbd").read_text()
        (tmp_path / "proc/drbd").write_text(text.replace("ds:UpToDate", "ds:Diskless"))
        assert "Diskless" in (tmp_path / "proc/drbd").read_text()
    step.apply()
    assert not step.check()


def test_cut_off_before_it_was_told_it_is_told_again(tmp_path: Path) -> None:
    run = ScriptedRun().expect(SET, returncode=10).expect(SET)
    step = a_step(tmp_path, run)
    lay_proc(tmp_path, "primary")
    with pytest.raises(CommandError, match="drbdsetup disk-options"):
        step.apply()
    assert step.check() == ["drbd has not read its files yet"]
    step.apply()
    assert not step.check()
    run.assert_finished()
