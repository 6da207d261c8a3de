"""ksnode as a program: exit statuses, status, two agents, and what RESULT says."""

import fcntl
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import latches
from firstboot.__main__ import main
from firstboot.commands import Result
from firstboot.node import to_json
from firstboot.render import kernel
from firstboot.rendezvous.session import Meeting
from firstboot.sequence import SEQUENCE
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


def fresh(argv: Sequence[str], *, ok: "tuple[int, ...]" = (0,), **_: object) -> Result:
    """What a machine fresh from the installer answers, with one port for the uplink and three."""
    me = an_identity().me
    links = [
        {"ifname": f"eth{n}", "link_type": "ether", "address": mac, "mtu": 1500}
        for n, mac in enumerate([*me.uplink.ports, *me.crossover_ports])
    ]
    if argv[0] == "systemctl":
        unit = "Id={}\nUnitFileState=\nActiveState=inactive\nConditionResult=no\n"
        blocks = [f"{unit.format(n)}ConditionTimestampMonotonic=0\n" for n in argv[3:]]
        return Result(tuple(argv), 0, "\n".join(blocks), "")
    silent = dict.fromkeys(("nmcli", "dmesg"), (0, ""))
    answers = {"ip": (0, json.dumps(links)), "crm_mon": (102, ""), **silent}
    status, text = answers[argv[0]]
    assert status in ok
    return Result(tuple(argv), status, text, "")


def test_a_fresh_node_with_ports_to_be_found_has_something_missing(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole sequence is looked at, and nothing in it refuses."""
    identity = an_identity(platform="debian12-lab")
    nodes = tuple(replace(one, crossover_ports=()) for one in identity.pair.nodes)
    auto = replace(identity, pair=replace(identity.pair, nodes=(nodes[0], nodes[1])))
    lay(node, "etc/ksbuild/node.json", to_json(auto))
    for name in kernel.settings(auto):
        lay(node, f"proc/sys/{name.replace('.', '/')}", "0")
    lay(node, "proc/mounts", "proc /proc proc rw 0 0")
    monkeypatch.setattr("firstboot.verbs.converging.run", fresh)
    assert ksnode(node, "run", "--dry-run") == 7
    told = dict(line.split(": ")[:2] for line in capsys.readouterr().out.splitlines())
    assert list(told) == [step.name for step in SEQUENCE]
    assert set(told.values()) == {"ok", "missing", "absent"}
    assert (told["cabling"], told["crossover"]) == ("missing", "missing")


def test_status(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ksnode(node, "status") == 1
    assert "said nothing yet" in capsys.readouterr().err
    ksnode(node, "run")
    capsys.readouterr()
    assert ksnode(node, "status") == 0
    assert "preflight: ok" in capsys.readouterr().out
    assert ksnode(node, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"]["preflight"]["event"] == "ok"
    lay_machine(node, name="nero")
    ksnode(node, "run")
    capsys.readouterr()
    ksnode(node, "status")
    assert "preflight: refused this machine is called 'nero'" in capsys.readouterr().out


def test_the_journal_keeps_every_event(node: Path) -> None:
    ksnode(node, "run")
    ksnode(node, "run")
    lines = (node / "var/lib/ksbuild/journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["step"] for e in events if e["event"] == "ok"].count("preflight") == 2
    assert {e["boot"] for e in events} == {"boot-1"}
    used = [e["cpu_s"] for e in events]
    assert used == sorted(used)
    assert 0 < used[-1] <= time.process_time() + 0.005  # it is rounded


def test_the_login_prompt_says_how_it_goes(node: Path) -> None:
    issue = node / "etc/issue.d/ksnode.issue"
    lay_machine(node, name="nero\\n")
    ksnode(node, "run")
    assert issue.read_text().startswith(
        "ksbuild justinian: refused this machine is called 'nero//n'"
    )
    assert issue.read_text().count("\n") == 1


class Enough(BaseException):
    """Ends an agent that would go on for ever."""


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an agent live for five rounds."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            raise Enough

    monkeypatch.setattr("firstboot.verbs.converging.time.sleep", sleep)


def test_a_complete_node_answers_whatever_else_is_wrong(
    node: Path, rounds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del rounds
    latches.set_once(node, latches.COMPLETE, "")
    lay_machine(node, name="nero")  # refused at every round
    started: list[Meeting] = []

    def start(meeting: Meeting) -> None:
        started.append(meeting)

    monkeypatch.setattr(Meeting, "start", start)
    with pytest.raises(Enough):
        ksnode(node, "agent")
    assert len(started) == 5
    lines = (node / "var/lib/ksbuild/journal.jsonl").read_text().splitlines()
    assert len(lines) == 2, "what stays the same is told once"


def test_a_cut_between_latch_and_verdict_is_made_good(
    node: Path, rounds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del rounds
    lay_machine(node, name="nero")
    ksnode(node, "run")
    latches.set_once(node, latches.COMPLETE, "")
    monkeypatch.setattr(Meeting, "start", lambda _: None)
    with pytest.raises(Enough):
        ksnode(node, "agent")
    assert result(node)["verdict"] == "complete"
