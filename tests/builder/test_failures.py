"""What a person sees and finds when an installation stops: %pre that fails, and %onerror."""

import re
import subprocess
from pathlib import Path

import pytest

from builder.plan import Plan
from tests.builder.server import Server

CONSOLES = ("console", "tty1")


@pytest.fixture
def screens(server: Server) -> Server:
    """The server with a disk, a screen and a serial line, and what Anaconda has in the log."""
    server.add_disk("sda")
    for name in CONSOLES:
        (server.root / "dev" / name).touch()
    log = [f"line {number}" for number in range(1, 9)]
    (server.root / "tmp/ksbuild-pre.log").write_text("\n".join(log) + "\n")
    return server


def shown(server: Server, name: str) -> list[str]:
    """What stands on a console: in a file only the last line stays, as each is written alone."""
    return (server.root / "dev" / name).read_text().splitlines()


def test_a_pre_that_fails_unforeseen_says_so(screens: Server, example: Plan) -> None:
    """udevadm settle fails before anything is written; Anaconda itself says very little."""
    screens.refuses = ("sfdisk",)
    outcome = screens.run(example.either)
    assert not outcome.success
    assert "REFUSED" not in outcome.said
    failed = outcome.said[outcome.said.index("ksbuild: FAILED: ") :]
    for number in range(4, 9):
        assert f"line {number}\n" in failed
    assert "line 3" not in failed, "the log's end, not all of it"
    assert failed.endswith("ksbuild: Nothing was written to any disk.\n")
    assert outcome.written == ()
    for name in CONSOLES:
        assert shown(screens, name) == ["ksbuild: Nothing was written to any disk."]


def test_it_says_what_was_written_before(screens: Server, example: Plan) -> None:
    screens.stub("udevadm", 'echo "no udev" >&2; exit 1')
    outcome = screens.run(example.either)
    assert not outcome.success
    assert outcome.written == ("sda",)
    assert "ksbuild: FAILED: line 4" in outcome.said
    assert "line 8\nksbuild: /dev/sda has a new partition table.\n" in outcome.said
    for name in CONSOLES:
        (last,) = shown(screens, name)
        assert last.endswith("/dev/sda has a new partition table.")


def test_a_refusal_is_not_a_failure(screens: Server, example: Plan) -> None:
    screens.serial, screens.macs = "STRANGER", ("00:11:22:33:44:55",)
    outcome = screens.run(example.either)
    assert not outcome.success
    assert "FAILED" not in outcome.said
    for name in CONSOLES:
        (last,) = shown(screens, name)
        assert last.endswith("/tmp/ksbuild-pre.log")


def onerror(kickstart: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run the kickstart's %onerror below a root."""
    (script,) = re.findall(r"^%onerror[^\n]*\n(.*?)^%end$", kickstart, re.DOTALL | re.MULTILINE)
    script = re.sub(r"/(dev/(?!null)|tmp/|mnt/)", lambda found: f"{root}/{found[1]}", script)
    return subprocess.run(
        ["bash"], input=script, capture_output=True, text=True, check=False, cwd=root
    )


@pytest.mark.parametrize("node", ["either", "justinian", "julius"])
def test_onerror_shows_the_ends_of_the_logs(example: Plan, tmp_path: Path, node: str) -> None:
    kickstart = {"either": example.either, **example.kickstarts}[node]
    logs = ("tmp/packaging.log", "tmp/anaconda.log", "mnt/sysroot/var/log/ksbuild-post.log")
    for log in logs:
        (tmp_path / log).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / log).write_text("".join(f"{log} {number}\n" for number in range(20)))
    (tmp_path / "dev").mkdir()
    done = onerror(kickstart, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in CONSOLES:
        text = (tmp_path / "dev" / name).read_text()
        assert text.startswith("ksbuild: the installation stopped.")
        for log in logs:
            assert [line for line in text.splitlines() if line.startswith(f"{log} ")] == [
                f"{log} {number}" for number in range(12, 20)
            ]
        assert text.endswith("start the medium again, it goes on\n")


def test_onerror_with_neither_logs_nor_a_screen(example: Plan, tmp_path: Path) -> None:
    """A server without a screen has no tty1, and early on there is no log; the rest is said."""
    (tmp_path / "dev/tty1").mkdir(parents=True)
    done = onerror(example.either, tmp_path)
    assert done.returncode == 0
    text = (tmp_path / "dev/console").read_text()
    assert text.splitlines() == [
        "ksbuild: the installation stopped. The last lines of the logs:",
        "ksbuild: nothing is tried again by itself; start the medium again, it goes on",
    ]
