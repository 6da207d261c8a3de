"""firstboot.pyz: small, the same every time, and it runs."""

import subprocess
import sys
from pathlib import Path

from builder.plan.agent import archive
from builder.resources import agent_sources
from firstboot import VERSION


def test_same_sources_same_bytes() -> None:
    assert archive(agent_sources()) == archive(dict(reversed(agent_sources().items())))


def test_it_runs_and_is_small(tmp_path: Path) -> None:
    pyz = tmp_path / "firstboot.pyz"
    pyz.write_bytes(archive(agent_sources()))
    pyz.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", pyz, "--version"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == f"ksnode {VERSION}\n"
    assert pyz.stat().st_size < 200 * 1024
