"""Run the agent's tests on real CPythons: 3.9, which EL9's nodes have, and 3.12, which EL10's have.

Takes those of this machine. What it lacks is Debian's, unpacked (not installed) into build/: 3.9
from bullseye and, as no Debian has 3.12, 3.13 from trixie in its place.
"""

import glob
import os
import subprocess
import sys
from pathlib import Path

from tests.uml import apt

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/pythons"
VERSIONS = {"3.9": ("bullseye", "3.9"), "3.12": ("trixie", "3.13")}  # in its place, from Debian
HOMES = ("~/.pyenv/versions/{0}.*", "~/.local/share/uv/python/cpython-{0}.*", "/usr/local")
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
PROBE = "import ssl, sys; print('{}.{}'.format(*sys.version_info))"


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


def debians_python(suite: str, version: str) -> list[str]:
    """A suite's Python, run by its own loader with its own libraries."""
    root = FOLDER / suite
    python = root / f"usr/bin/python{version}"
    if not python.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        lines = apt.machine_sources().replace(apt.SUITE, suite).splitlines()
        sources = "\n".join(
            line.replace(f"{suite}-updates", "") if line.startswith("Suites:") else line
            for line in lines
        )
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=extract", f"--include=python{version}", suite,
             str(root), "-"],
            input=sources, text=True, check=True,
        )  # fmt: skip
    folders = [root / folder for folder in LIBRARIES]
    loader = next(f for folder in folders if (f := folder / "ld-linux-x86-64.so.2").exists())
    return [str(loader), "--library-path", ":".join(map(str, folders)), str(python)]


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
    for wanted, (suite, version) in VERSIONS.items():
        if python := own_python(wanted):
            status = run(wanted, python)
        else:
            status = run(version, debians_python(suite, version))
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
