"""A build needs nothing but Python: the wheel in an empty venv, as nobody, without a PATH."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.builder.unprivileged import NOBODY, nobodys, python, run
from tests.media.sources import ROOT, demo_source, el9_iso

__all__ = ["demo_source", "el9_iso", "nobodys"]


def test_from_the_wheel_alone(el9_iso: Path, nobodys: Path) -> None:
    """Away from the checkout, which it could not even write to."""
    wheels = ROOT / "build/wheels"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    options = ["--no-build-isolation", "-w", str(wheels)]
    subprocess.run(
        [*pip, *options, "--require-hashes", "-r", ROOT / "requirements/run.txt"], check=True
    )
    for stale in wheels.glob("ksbuild-*"):
        stale.unlink()
    subprocess.run([*pip, *options, "--no-deps", ROOT], check=True)
    (wheel,) = wheels.glob("ksbuild-*")
    within = set(zipfile.ZipFile(wheel).namelist())
    assert within >= {"builder/serve/page.css", "builder/serve/page.js"}, "served, and no modules"
    venv = nobodys / "venv"
    subprocess.run([python(nobodys), "-m", "venv", "--without-pip", venv], check=True)
    there: list[str | Path] = ["--python", venv / "bin/python", "--quiet"]
    subprocess.run(
        [*pip[:3], *there, "install", "--no-index", "--find-links", wheels, "ksbuild"], check=True
    )
    shutil.copyfile(ROOT / "profiles/example.toml", nobodys / "pair.toml")
    shutil.copyfile(el9_iso, nobodys / "el9.iso")
    build = ["iso", "pair.toml", "--source", "el9.iso", "--offline", "-o", "out.iso"]
    done = run([venv / "bin/ksbuild", *build], nobodys, {"PATH": ""})
    assert done.returncode == 0, done.stderr
    (warning, _) = done.stderr.splitlines()
    assert "warning[KS144]" in warning
    made = nobodys / "out.iso"
    assert made.stat().st_size > 10_000_000
    assert made.stat().st_uid == (NOBODY if os.getuid() == 0 else os.getuid())
    seen = run([venv / "bin/ksbuild", "inspect", "out.iso"], nobodys, {"PATH": ""})
    assert seen.returncode == 0, seen.stderr
    assert seen.stdout.count(": yes\n") == 4
