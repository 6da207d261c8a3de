"""Programs run as nobody, in a folder of nobody's own, also where the tests run as root."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534


def run(
    argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing but `environment`; a root that runs the tests becomes nobody."""
    dropped: dict[str, Any] = {}
    if os.getuid() == 0:
        dropped = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    return subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, **dropped
    )


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder that nobody may write to; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder


def python(folder: Path) -> Path:
    """An interpreter of this version that nobody can run; root's own may lie in root's home."""
    code = "import sys; print(sys.version_info[:2])"
    base = Path(sys.base_prefix) / "bin" / Path(sys.executable).resolve().name
    for candidate in (base, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        if candidate is not None and _runs(candidate):
            done = run([candidate, "-c", code], folder, {})
            if done.stdout.strip() == str(sys.version_info[:2]):
                return Path(candidate)
    pytest.fail(f"no Python {sys.version_info[:2]} that nobody can run: put it in /usr/bin")


def _runs(path: str | Path) -> bool:
    try:
        return run([path, "-c", ""], Path("/"), {}).returncode == 0
    except OSError:
        return False
