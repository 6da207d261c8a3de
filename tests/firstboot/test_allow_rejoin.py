"""ksnode allow-rejoin: what it writes, what it refuses, and that no secret shows."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firstboot import latches
from firstboot.__main__ import main
from firstboot.commands import run
from firstboot.engine import Refused
from firstboot.node import plan_digest, to_json
from firstboot.rendezvous import ticket
from firstboot.verbs.allowrejoin import allow_rejoin, make
from tests.firstboot.conftest import PAIR_ID, an_identity
from tests.firstboot.living import LINK_KEY, Living, formed, pair

__all__ = ["formed", "pair"]


def test_what_the_verb_writes(
    pair: Living, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, identity = tmp_path / "ticket", an_identity()
    arguments = argparse.Namespace(duration="2h", out=output)
    assert allow_rejoin(identity, pair.roots["justinian"], arguments) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert (
        "next, where the profile is: ksbuild iso PROFILE --source ISO --rejoin julius" in said.err
    )
    assert output.stat().st_mode & 0o777 == 0o600
    content = json.loads(output.read_text())
    assert content["pair"] == PAIR_ID
    assert content["plan"] == plan_digest(identity.pair)
    assert (content["node"], content["link_key"]) == ("julius", LINK_KEY)
    assert 7000 < content["expires"] - time.time() <= 7200
    kept = (pair.roots["justinian"] / ticket.PATH).read_text()
    assert content["key"][40:80] not in kept, "the key goes with the ticket alone"
    assert "PRIVATE" not in kept
    assert not [path for path in (pair.roots["justinian"] / "run").iterdir() if path.is_dir()]
    assert allow_rejoin(identity, pair.roots["justinian"], arguments) == 5
    assert "is there already" in capsys.readouterr().err
    arguments = argparse.Namespace(duration="60m", out=None)
    assert allow_rejoin(identity, pair.roots["justinian"], arguments) == 0
    assert json.loads(capsys.readouterr().out)["node"] == "julius"


def test_as_it_is_typed(pair: Living, tmp_path: Path) -> None:
    root, output = pair.roots["julius"], tmp_path / "ticket"
    (root / "etc/ksbuild/node.json").write_text(to_json(an_identity("julius")))
    typed = ["--root", str(root), "allow-rejoin", "--for", "2d", "--out", str(output)]
    assert main(typed) == 0
    assert json.loads(output.read_text())["node"] == "justinian"
    opened = ticket.opened(root)
    assert opened is not None
    assert opened.expires - opened.issued == 2 * 24 * 3600


def test_what_it_prints_is_the_ticket_alone(pair: Living) -> None:
    """`ksnode allow-rejoin >TICKET`; the commands it ran stand beside it, not in it."""
    root = pair.roots["julius"]
    (root / "etc/ksbuild/node.json").write_text(to_json(an_identity("julius")))
    argv = [sys.executable, "-m", "firstboot", "--root", str(root), "allow-rejoin", "--for", "2d"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["node"] == "justinian"
    assert "ksnode: + openssl genpkey" in done.stderr


def test_an_open_ticket_shows_in_the_status(pair: Living) -> None:
    step = pair.step("justinian", pair.meeting("justinian"))
    assert step.remark() == ""
    given = pair.ticket("justinian")
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(given["expires"]))
    assert step.remark() == f"julius may come back by a ticket until {when}"


@pytest.mark.parametrize("typed", ["0m", "8d", "60", "m", "60s", "-5m", "1m1h"])
def test_odd_times(pair: Living, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = argparse.Namespace(duration=typed, out=None)
    assert allow_rejoin(an_identity(), pair.roots["justinian"], arguments) == 5
    assert "next: ksnode allow-rejoin --for 60m" in capsys.readouterr().err
    assert not (pair.roots["justinian"] / ticket.PATH).exists()


def test_a_pair_without_secrets_lets_nobody_come_back(pair: Living) -> None:
    root = pair.roots["justinian"]
    (root / "var/lib/ksbuild" / latches.SECRETS_STORED).unlink()
    with pytest.raises(Refused, match="has no secrets yet"):
        make(an_identity(), root, 3600, run)


def test_no_secret_shows(pair: Living, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what every program was started with nor what the agents report."""
    caplog.set_level("DEBUG")
    given = pair.ticket("justinian")
    pair.install("julius", given)
    pair.run()
    said = caplog.text + json.dumps(pair.told.events)
    assert "openssl genpkey" in said
    for secret in (given["key"], pair.read("julius", "pair/ca.key")):
        assert secret[40:80] not in said
    for path in ("secrets/authkey", "secrets/drbd", "pair/node.key"):
        assert pair.read("julius", path)[40:80] not in said
