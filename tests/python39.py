"""Run the agent's tests on a real CPython 3.9, which is what EL9's nodes have.

Takes a python3.9 of this machine, else Debian bullseye's, unpacked (not installed) into build/.
"""

import glob
import os
import subprocess
import sys
from pathlib import Path

from tests.uml import apt

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/py39"
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
PROBE = "import sys, ssl; sys.exit(sys.version_info[:2] != (3, 9))"


def own_python() -> list[str] | None:
    """A 3.9 with ssl that is on this machine anyway."""
    homes = glob.glob(os.path.expanduser("~/.pyenv/versions/3.9.*/bin/python3.9"))
    for candidate in (*homes, "python3.9"):
        try:
            if subprocess.run([candidate, "-c", PROBE], check=False).returncode == 0:
                return [candidate]
        except FileNotFoundError:
            continue
    return None


def bullseyes_python() -> list[str]:
    """Debian 11's python3.9, run by its own loader with its own libraries."""
    root = FOLDER / "bullseye"
    python = root / "usr/bin/python3.9"
    if not python.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        lines = apt.machine_sources().replace(apt.SUITE, "bullseye").splitlines()
        sources = "\n".join(
            line.replace("bullseye-updates", "") if line.startswith("Suites:") else line
            for line in lines
        )
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=extract", "--include=python3.9", "bullseye",
             str(root), "-"],
            input=sources, text=True, check=True,
        )  # fmt: skip
    loader = str(root / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    paths = ":".join(str(root / folder) for folder in LIBRARIES)
    return [loader, "--library-path", paths, str(python)]


def site_packages() -> Path:
    """pytest and what it needs, by hash, for 3.9."""
    target = FOLDER / "site"
    wanted = ROOT / "requirements/py39.txt"
    stamp = FOLDER / "site.txt"
    if not (stamp.exists() and stamp.read_bytes() == wanted.read_bytes()):
        subprocess.run(
            [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
             "--target", target, "--upgrade", "--python-version", "3.9", "--only-binary", ":all:",
             "--require-hashes", "--requirement", wanted],
            check=True,
        )  # fmt: skip
        stamp.write_bytes(wanted.read_bytes())
    return target


def main() -> int:
    """Exit status of pytest."""
    python = own_python() or bullseyes_python()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site_packages()}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    print(f"agent's tests on {python[-1]}", flush=True)
    return subprocess.run(
        [*python, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/firstboot"],
        cwd=ROOT, env=environment, check=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
