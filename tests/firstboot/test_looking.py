"""ksnode why, check and collect: what is wrong, in words, an exit status, and an archive."""

import dataclasses
import json
import stat
import tarfile
from pathlib import Path

import pytest

from firstboot.__main__ import main
from firstboot.files import SECRETS
from firstboot.journal import STATE, Journal
from firstboot.node import to_json
from firstboot.verbs.collect import redacted
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_steps import lay


@pytest.fixture
def node(tmp_path: Path) -> Path:
    lay(tmp_path, "etc/ksbuild/node.json", to_json(an_identity()))
    return tmp_path


@pytest.fixture
def journal(node: Path) -> Journal:
    return Journal(node, an_identity(), "boot-1")


def ksnode(root: Path, *arguments: str) -> int:
    return main(["--root", str(root), *arguments])


def test_nothing_was_said_yet(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ksnode(node, "why") == 1
    assert "systemctl status ksnode" in capsys.readouterr().err
    assert ksnode(node, "check") == 3
    assert capsys.readouterr().out.startswith("KSNODE UNKNOWN - ")


@pytest.mark.parametrize(
    ("event", "detail", "seen", "way_out", "status"),
    [
        ("refused", "disk is strange; next: look at it", "disk is strange", "look at it", 2),
        ("failed", "drbdadm exited 1", "drbdadm exited 1", "journalctl -u ksnode", 2),
        ("waiting", "for julius", "for julius", "nothing: it goes on by itself", 1),
        ("missing", "x is not as planned", "x is not as planned", "ksnode run", 1),
    ],
)
def test_why_and_check(
    node: Path,
    journal: Journal,
    capsys: pytest.CaptureFixture[str],
    event: str,
    detail: str,
    seen: str,
    way_out: str,
    status: int,
) -> None:
    journal("preflight", "ok")
    journal("cabling", event, detail)
    capsys.readouterr()
    assert ksnode(node, "why", "--json") == 0
    (reason,) = json.loads(capsys.readouterr().out)["reasons"]
    assert (reason["step"], reason["event"], reason["seen"]) == ("cabling", event, seen)
    assert reason["next"].startswith(way_out)
    assert reason["since"]
    assert ksnode(node, "check") == status
    assert f"cabling {event}: {seen}" in capsys.readouterr().out


def test_the_administrators_own_line_is_told(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = dataclasses.replace(an_identity(), description="rack 4, asset 1207")
    lay(node, "etc/ksbuild/node.json", to_json(identity))
    Journal(node, identity, "boot-1").verdict("complete")
    assert json.loads((node / STATE / "RESULT").read_text())["description"] == "rack 4, asset 1207"
    Journal(node, identity, "boot-1")("host", "ok")
    assert ksnode(node, "status") == 0
    assert "\nrack 4, asset 1207\n" in capsys.readouterr().out


def test_a_bar_does_not_begin_performance_data(
    node: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal("preflight", "failed", "a | b")
    capsys.readouterr()
    ksnode(node, "check")
    assert capsys.readouterr().out == "KSNODE CRITICAL - justinian: preflight failed: a / b\n"


def test_collect_takes_the_secrets_out(node: Path, journal: Journal, tmp_path: Path) -> None:
    canary = "c4nary0123456789"
    (node / SECRETS).mkdir(parents=True)
    (node / SECRETS / "drbd").write_text(canary)
    lay(node, "etc/drbd.d/vmdata.res", f'shared-secret "{canary}";')
    journal("preflight", "failed", f"odd: {canary}")
    output = tmp_path / "all.tar.gz"
    assert ksnode(node, "collect", "--output", str(output)) == 0
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    with tarfile.open(output) as archive:
        texts = {m.name: archive.extractfile(m) for m in archive}
        read = {name: file.read().decode() for name, file in texts.items() if file}
    assert not [name for name, text in read.items() if canary in text]
    assert "<secret drbd>" in read["ksnode-justinian/status.json"]
    assert "exit " in read["ksnode-justinian/commands/network"]
    assert ksnode(node, "collect", "--output", str(output)) == 1, "nothing is written over"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password=hunter2 x", "password=<redacted> x"),
        ('passwd: "hunter2"', 'passwd: "<redacted>"'),
        ('shared-secret "hunter2";', 'shared-secret "<redacted>";'),
        ("-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----", "<private key>"),
        ('<nvpair name="passwd" value="hunter2"/>', '<nvpair name="passwd" value="<redacted>"/>'),
        ("after-sb-0pri and a secretary", "after-sb-0pri and a secretary"),
    ],
)
def test_redacted(text: str, left: str) -> None:
    assert redacted(text, {}) == left
