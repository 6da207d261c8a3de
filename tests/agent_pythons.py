"""Run the agent's tests on real CPythons: 3.9, which EL9's nodes have, and 3.12, which EL10's have.

Takes those of this machine. A 3.9 it lacks is Debian bullseye's, unpacked (not installed) into
build/; Debian has no 3.12, so a machine without one is told what to install: exit status 6.
"""

import glob
import os
import subprocess
import sys
from pathlib import Path

from tests.uml import apt

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/pythons"
VERSIONS = ("3.9", "3.12")
HOMES = ("~/.pyenv/versions/{0}.*", "~/.local/share/uv/python/cpython-{0}.*", "/usr/local")
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
PROBE = "import ssl, sys; print('{}.{}'.format(*sys.version_info))"
ENVIRONMENT = 6  # exit status, see docs/reference.md


def own_python(version: str) -> list[str] | None:
    """One with ssl that is on this machine anyway."""
    homes = [os.path.expanduser(f"{home.format(version)}/bin/python{version}") for home in HOMES]
    for candidate in (*(found for home in homes for found in glob.glob(home)), f"python{version}"):
        try:
            said = subprocess.run([candidate, "-c", PROBE], capture_output=True, check=False)
        except FileNotFoundError:
            continue
        if said.stdout.decode().strip() == version:
            return [candidate]
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


def site_packages(version: str) -> Path:
    """pytest and what it needs, by hash, for that version."""
    target = FOLDER / f"site-{version}"
    wanted = ROOT / "requirements/agent.txt"
    stamp = FOLDER / f"site-{version}.txt"
    if not (stamp.exists() and stamp.read_bytes() == wanted.read_bytes()):
        subprocess.run(
            [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
             "--target", target, "--upgrade", "--python-version", version, "--only-binary", ":all:",
             "--require-hashes", "--requirement", wanted],
            check=True,
        )  # fmt: skip
        stamp.write_bytes(wanted.read_bytes())
    return target


def run(version: str, python: list[str]) -> int:
    """Exit status of pytest."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site_packages(version)}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    print(f"agent's tests on {python[-1]}", flush=True)
    return subprocess.run(
        [*python, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/firstboot"],
        cwd=ROOT, env=environment, check=False,
    ).returncode  # fmt: skip


def main() -> int:
    """Exit status of the first version that fails, or 0."""
    pythons = {version: own_python(version) for version in VERSIONS}
    if pythons["3.12"] is None:
        print("this machine has no Python 3.12, with which the agent is tested", file=sys.stderr)
        print("next: pyenv install 3.12, or: uv python install 3.12", file=sys.stderr)
        return ENVIRONMENT
    for version, python in pythons.items():
        if status := run(version, python or bullseyes_python()):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
