"""What other programs may rely on: verbs, exit statuses, and the keys of what is told as JSON."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firstboot import commandline, exits
from firstboot.__main__ import VERBS, main, verb
from firstboot.journal import Journal
from firstboot.node import to_json
from firstboot.verbs import checking
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_steps import lay

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/reference.md").read_text()
STEP = {"event", "detail", "since"}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node whose agent was refused."""
    lay(tmp_path, "etc/ksbuild/node.json", to_json(an_identity()))
    journal = Journal(tmp_path, an_identity(), "boot-1")
    journal("preflight", "ok")
    journal("uplink", "refused", "no port; next: ip -br link")
    journal.verdict("refused", evidence="no port", next="ip -br link")
    return tmp_path


def told(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(["--root", str(root), *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_keys_of_status(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = told(node, capsys, "status", "--json")
    assert status.keys() == {"schema", "node", "steps"}
    assert (status["schema"], status["node"]) == (1, "justinian")
    assert [step.keys() for step in status["steps"].values()] == [STEP, STEP]
    assert status == json.loads((node / "var/lib/ksbuild/status.json").read_text())


def test_keys_of_why(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    why = told(node, capsys, "why", "--json")
    assert why.keys() == {"schema", "node", "reasons"}
    assert why["schema"] == 1
    (reason,) = why["reasons"]
    assert reason.keys() == {"step", "event", "since", "seen", "next"}


ALWAYS = {"schema", "verdict", "node", "boot_id", "description", "at", "cpu_s", "steps"}


@pytest.mark.parametrize(
    ("verdict", "more"),
    [
        ("refused", {"evidence", "next"}),
        ("failed", {"evidence", "next"}),
        ("complete", {"digest", "peer"}),
    ],
)
def test_keys_of_the_verdict(node: Path, verdict: str, more: "set[str]") -> None:
    Journal(node, an_identity(), "boot-1").verdict(verdict, **dict.fromkeys(more, "x"))
    result = json.loads((node / "var/lib/ksbuild/RESULT").read_text())
    assert result.keys() == ALWAYS | more
    assert result["schema"] == 1


def test_what_is_typed_is_what_is_done() -> None:
    commands = next(a for a in commandline.parser()._actions if a.dest == "command")
    assert isinstance(commands.choices, dict)
    assert commands.choices.keys() == VERBS.keys()
    assert all(callable(verb(name)) for name in VERBS)
    assert sorted(checking.SOURCES) == list(commandline.SUBSYSTEMS)


def test_no_verb_is_loaded_before_it_is_typed() -> None:
    """Each minute one of them is."""
    load = "import firstboot.__main__, sys; print([m for m in sys.modules if '.verbs' in m])"
    argv = [sys.executable, "-c", load]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded == "[]\n"


def test_every_verb_stands_in_the_reference() -> None:
    told_of = set(re.findall(r"^\| `ksnode ([a-z-]+)", REFERENCE, re.MULTILINE))
    assert told_of == VERBS.keys()


@pytest.mark.parametrize(
    ("table", "statuses"),
    [
        (
            "Exit status, which never changes (",
            {exits.OK, exits.FAILED, 2, exits.BAD_PLAN, exits.REFUSED, exits.DIFFERENT, exits.BUSY},
        ),
        ("| `ksnode check` | Nagios", {exits.OK, exits.WARNING, exits.CRITICAL, exits.UNKNOWN}),
    ],
)
def test_every_exit_status_stands_in_the_reference(table: str, statuses: "set[int]") -> None:
    section = REFERENCE[REFERENCE.index(table) :]
    found = re.search(r"(?:^\| \d+ \|.*\n)+", section, re.MULTILINE)
    assert found
    assert {int(n) for n in re.findall(r"^\| (\d+) ", found[0], re.MULTILINE)} == statuses
