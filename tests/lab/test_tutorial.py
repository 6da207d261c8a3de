"""Every command of docs/tutorial.md, typed as it stands there; they take half an hour."""

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.uml, pytest.mark.timeout(3600)]
# A shell that starts something in the background has it ignore Ctrl-C, and its children too.
HEEDING = ["env", "--default-signal=INT"]
# Typed on a node of a running pair, as the page says.
THERE = "ksnode status\ncrm_mon -1rf\ncat /proc/drbd\n"


@contextmanager
def typed(command: str, root: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command in a session of its own; Ctrl-C at the end of the block if it still runs."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment = {**bare, "LAB_NONCE": "by the tutorial"}
    with subprocess.Popen(
        [*HEEDING, *command.split()], cwd=root, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.communicate()


def said_by(command: str, root: Path) -> str:
    """What it said, once it has ended with 0."""
    with typed(command, root) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def test_these_are_all(root: Path) -> None:
    page = (root / "docs/tutorial.md").read_text()
    assert re.findall(r"^    (\S.*)$", page, re.MULTILINE) == [
        "make iso",
        "make try NODE=julius",
        "make lab",
        "make lab STAY=1",
        "make drill D=pull-power",
        "make test",  # which runs this
    ]


@pytest.mark.slow
def test_a_medium_and_a_server(root: Path) -> None:
    assert "demonstration" in said_by("make iso", root)
    assert (root / "build/demo-example.iso").is_file()
    assert "this is julius" in said_by("make try NODE=julius", root)
    assert "REFUSED" in said_by("make try SERIAL=STRANGER", root)


@pytest.mark.slow
def test_a_pair(root: Path) -> None:
    said = said_by("make lab", root)
    assert said.splitlines()[-1] == "lab/out/report.json; complete: True"
    for heard in ("installed in", "has power (boot 2)", "crossover: ok", "mounted: ok", "complete"):
        assert heard in said
    report = json.loads((root / "lab/out/report.json").read_text())
    assert report["complete"]
    assert report["nonce"] == "by the tutorial"
    assert report["peak_mib"] < 5000


@pytest.mark.slow
def test_looking_around_on_a_running_pair(root: Path) -> None:
    with typed("make lab STAY=1", root) as process:
        assert process.stdout
        login = next(line for line in process.stdout if line.endswith("# julius\n"))
        argv = shlex.split(login, comments=True)
        done = subprocess.run(argv, check=True, input=THERE, capture_output=True, text=True)
        assert "verification" in done.stdout
        assert re.search(r"Online: \[ (justinian|julius) (justinian|julius) \]", done.stdout)
        assert "ds:UpToDate/UpToDate" in done.stdout
    assert process.returncode != 0


@pytest.mark.slow
def test_a_node_loses_its_power(root: Path) -> None:
    assert "all passed" in said_by("make drill D=pull-power", root)
