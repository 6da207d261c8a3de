"""The agent's tests on real CPythons: 3.9, which EL9's nodes have, and 3.12, which EL10's have.

Takes those of this machine. What it lacks is Debian's, unpacked (not installed) into build/: 3.9
from bullseye and, as no Debian has 3.12, 3.13 from trixie in its place.
"""

import glob
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.uml import apt

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/pythons"
VERSIONS = {"3.9": ("bullseye", "3.9"), "3.12": ("trixie", "3.13")}  # in its place, from Debian
HOMES = ("~/.pyenv/versions/{0}.*", "~/.local/share/uv/python/cpython-{0}.*", "/usr/local")
# As root or as nobody in particular, and still the same user inside.
NETWORK = ("unshare", "--net", *(("--map-current-user", "--keep-caps") if os.getuid() else ()),
           "sh", "-ec", 'ip link set lo up; exec "$@"', "sh")  # fmt: skip
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


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("wanted", VERSIONS)
def test_the_agents_tests(wanted: str) -> None:
    """In a network of their own, for the same tests beside them use the same addresses.

    Those that tell nothing of a Python (tests/firstboot/conftest.py) have run on this machine's.
    """
    suite, version = VERSIONS[wanted]
    if python := own_python(wanted):
        version = wanted
    else:
        python = debians_python(suite, version)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site_packages(version)}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(FOLDER / f"bytecode-{version}"),  # Debian's comes without any
        "PYTEST_ADDOPTS": "",
    }
    argv = [*python, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*NETWORK, *argv, "-m", "not one_python", "tests/firstboot"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed, done.stdout[-500:]
    assert int(passed[1]) > 500, "most of them were not even found"
