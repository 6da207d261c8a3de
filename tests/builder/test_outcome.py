"""How every kind of error ends: one line, the next thing to do, a status; and never a secret."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from builder.cli.doctor import NEEDED
from builder.errors import KickstartError
from tests.builder.test_cli import ksbuild, profile
from tests.media.sources import demo_source, el9_iso

__all__ = ["demo_source", "el9_iso", "profile"]

ROOT = Path(__file__).parents[2]
HASH = "$6$abcdefgh$" + "x" * 86


@pytest.mark.parametrize("epoch", ["abc", "", "-1", "1.5", " 7", "1_0", "٣", "5869584000"])
def test_a_date_that_is_none(
    profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    said = ksbuild("iso", profile, "--source", el9_iso, "-o", tmp_path / "x.iso")
    assert said.exit_code == 6
    error, hint = said.stderr.splitlines()
    assert error.startswith(f"ksbuild: SOURCE_DATE_EPOCH={epoch!r} is not a number of seconds")
    assert hint == "next: unset it, or: export SOURCE_DATE_EPOCH=$(date +%s)"
    assert [p.name for p in tmp_path.iterdir()] == ["pair.toml"], "not even keys"


@pytest.mark.parametrize("mode", ["patch", "boot", "oemdrv"])
def test_the_latest_date(
    profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5869583999")
    options = ("iso", profile, "--source", el9_iso, "--mode", mode, "-o", tmp_path / "x.iso")
    said = ksbuild(*options)
    assert said.exit_code == 0, said.output


def test_a_kickstart_that_pykickstart_rejects(
    profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rejected(*_: object, **__: object) -> str:
        raise KickstartError(f"pykickstart rejects the kickstart: rootpw --iscripted {HASH}")

    monkeypatch.setattr("builder.plan.kickstart.render", rejected)
    said = ksbuild("plan", profile)
    assert said.exit_code == 1
    assert "ksbuild: this is a bug: pykickstart rejects the kickstart: " in said.stderr
    assert "\nnext: report it, with ksbuild --version and " in said.stderr
    assert HASH not in said.output


def test_a_bug_is_one_line(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise ZeroDivisionError(f"a secret: {HASH}")

    monkeypatch.setattr("builder.plan.kickstart.render", broken)
    said = ksbuild("plan", profile)
    assert said.exit_code == 1
    bug, hint = said.stderr.splitlines()[-2:]
    assert bug.startswith("ksbuild: this is a bug: ZeroDivisionError in test_outcome.py:")
    assert hint.startswith("next: report it, with ksbuild --version and what KSBUILD_TRACEBACK=1 ")
    assert HASH not in said.output
    monkeypatch.setenv("KSBUILD_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        ksbuild("plan", profile)


def test_a_bug_ends_the_process_with_1() -> None:
    code = "from builder.cli import main\n"
    code += "main.get_command(None, 'doctor').callback = lambda **_: {}['x']\nmain(['doctor'])\n"
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ksbuild: this is a bug: KeyError in <string>:")
    assert "Traceback" not in done.stderr


def test_a_full_pipe_and_a_reader_that_went_away() -> None:
    for device, status in (("/dev/full", 6), (None, 1)):
        if device is None:
            reading, writing = os.pipe()
            os.close(reading)
        else:
            writing = os.open(device, os.O_WRONLY)
        argv = [sys.executable, "-m", "builder", "schema"]
        done = subprocess.run(
            argv, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writing)
        assert done.returncode == status, done.stderr
        assert "bug" not in done.stderr
        assert "Traceback" not in done.stderr


def test_doctor_asks_for_every_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {line.split(">")[0] for line in project["dependencies"]} == set(NEEDED)
    assert "requests" in ksbuild("doctor").output
