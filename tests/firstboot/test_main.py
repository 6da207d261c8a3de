"""ksnode as a program: exit statuses, status, two agents, and what RESULT says."""

import fcntl
import json
from pathlib import Path

import pytest

from firstboot.__main__ import main
from firstboot.node import to_json
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_steps import lay, lay_disk, lay_machine


@pytest.fixture
def node(tmp_path: Path) -> Path:
    lay(tmp_path, "etc/ksbuild/node.json", to_json(an_identity(platform="debian12-lab")))
    lay(tmp_path, "proc/sys/kernel/random/boot_id", "boot-1")
    (tmp_path / "run").mkdir()
    lay_machine(tmp_path)
    lay_disk(tmp_path, 75497472)
    return tmp_path


def ksnode(root: Path, *arguments: str) -> int:
    return main(["--root", str(root), *arguments])


def result(root: Path) -> "dict[str, object]":
    read = json.loads((root / "var/lib/ksbuild/RESULT").read_text())
    assert isinstance(read, dict)
    return read


def test_a_plan_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ksnode(tmp_path, "run") == 3
    lay(tmp_path, "etc/ksbuild/node.json", "{}")
    assert ksnode(tmp_path, "run") == 3
    assert "schema" in capsys.readouterr().err


def test_a_refusal_is_told_with_evidence_and_way_out(node: Path) -> None:
    lay_machine(node, name="nero")
    assert ksnode(node, "run") == 5
    verdict = result(node)
    assert verdict["verdict"] == "refused"
    assert "nero" in str(verdict["evidence"])
    assert verdict["next"]
    assert not (node / "var/lib/ksbuild/complete").exists()


def test_two_agents_never_run_at_once(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (node / "run/ksnode.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ksnode(node, "run") == 75
    assert "another agent" in capsys.readouterr().err


def test_dry_run_changes_nothing(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(node.rglob("*"))
    assert ksnode(node, "run", "--dry-run") in (5, 7)  # this machine's ports decide which
    assert sorted(node.rglob("*")) == before
    assert "preflight: ok" in capsys.readouterr().out


def test_status(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ksnode(node, "status") == 1
    assert "no status yet" in capsys.readouterr().err
    lay_machine(node, serial="other", name="justinian")
    ksnode(node, "run")
    capsys.readouterr()
    assert ksnode(node, "status") == 0
    assert "preflight: ok" in capsys.readouterr().out
    assert ksnode(node, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"]["preflight"]["event"] == "ok"


def test_the_journal_keeps_every_event(node: Path) -> None:
    ksnode(node, "run")
    ksnode(node, "run")
    lines = (node / "var/lib/ksbuild/journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["step"] for e in events if e["event"] == "ok"].count("preflight") == 2
    assert {e["boot"] for e in events} == {"boot-1"}
