"""setup.sh without root: it never escalates, and says the one line to run."""

import shutil
from pathlib import Path

import pytest

from tests.builder.unprivileged import nobodys, python, run
from tests.media.sources import ROOT

__all__ = ["nobodys"]

TOOLS = ("sh", "id", "dirname", "grep", "cat", "sha256sum", "cut", "rm", "touch")


@pytest.fixture
def checkout(nobodys: Path) -> Path:
    """A checkout of nobody's, and a PATH with nothing on it but what a bare system has."""
    shutil.copy(ROOT / "setup.sh", nobodys)
    shutil.copytree(ROOT / "requirements", nobodys / "requirements")
    shutil.copy(ROOT / "pyproject.toml", nobodys)
    (nobodys / "bin").mkdir()
    for tool in TOOLS:
        (nobodys / "bin" / tool).symlink_to(str(shutil.which(tool)))
    for name in ("sudo", "su", "pkexec", "doas", "apt-get"):
        stub(nobodys, name, f'echo "{name} $*" >>{nobodys}/escalated; exit 0')
    stub(nobodys, "dpkg-query", "exit 1")
    (nobodys / "escalated").touch()
    (nobodys / "escalated").chmod(0o666)
    return nobodys


def stub(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def setup(checkout: Path, what: str) -> tuple[int, list[str]]:
    """Run setup.sh as nobody; the exit status and the lines it said."""
    path = {"PATH": str(checkout / "bin")}
    done = run(["/bin/sh", checkout / "setup.sh", what], checkout, path)
    assert (checkout / "escalated").read_text() == "", "it asked for more rights, or installed"
    assert not (checkout / ".venv").exists()
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("dnf", "line"),
    [
        (False, "next: sudo apt-get install python3 python3-venv"),
        (True, "next: sudo dnf install python3.11"),
    ],
)
@pytest.mark.parametrize("found", ["none", "old", "without venv"])
@pytest.mark.parametrize("what", ["run", "demo", "test"])
def test_without_a_fit_python(
    checkout: Path, what: str, found: str, line: str, *, dnf: bool
) -> None:
    if dnf:
        stub(checkout, "dnf", f"echo dnf >>{checkout}/escalated")
    if found != "none":
        # It runs nothing; what counts is that it says no.
        stub(checkout, "python3", "exit 1" if found == "old" else "echo no venv >&2; exit 1")
    status, said = setup(checkout, what)
    assert status == 6
    assert said[-1] == line
    assert said[0].startswith("setup: this machine lacks: python3")
    assert len(said) == 2, "one line of what is missing, one of what to do"


@pytest.mark.parametrize(
    ("what", "needed"), [("demo", "kmod"), ("lab-qemu", "qemu-system-x86"), ("test", "xorriso")]
)
def test_without_the_tools(checkout: Path, what: str, needed: str) -> None:
    (checkout / "bin/python3").symlink_to(python(checkout))
    status, said = setup(checkout, what)
    assert status == 6
    assert len(said) == 2
    line = said[-1].split()
    assert line[:4] == ["next:", "sudo", "apt-get", "install"]
    assert {"grub-common", needed} <= set(line[4:])
    assert said[0].split()[4:] == line[4:]
    assert ("xorriso" in line) == (what != "demo")


def test_only_what_is_missing(checkout: Path) -> None:
    (checkout / "bin/python3").symlink_to(python(checkout))
    stub(
        checkout,
        "dpkg-query",
        'for name in "$@"; do :; done; [ "$name" = kmod ] || echo "install ok installed"',
    )
    status, said = setup(checkout, "demo")
    assert (status, said[-1]) == (6, "next: sudo apt-get install kmod")


def test_usage(checkout: Path) -> None:
    (checkout / "bin/python3").symlink_to(python(checkout))
    status, said = setup(checkout, "everything")
    assert (status, said) == (2, ["usage: setup.sh run|demo|lab|lab-qemu|test"])
