"""Another password for a fence account on a pair that lives: real TLS, ipmitool and fence_ipmilan,
OpenIPMI's simulated BMC; cut off anywhere, the other node can cut this one off in the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from firstboot import commands, latches
from firstboot.commands import CommandError, Result
from firstboot.engine import Refused
from firstboot.fencing import accounts
from firstboot.fencing.renewal import NEXT, TOPIC, Taker
from firstboot.files import SECRETS
from firstboot.node import FenceDevice, Identity
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.fencing import Fencing
from firstboot.verbs import fencepassword
from firstboot.verbs.waiting import NotYet
from tests.firstboot.agents import PORT as MEETING_PORT
from tests.firstboot.conftest import Told, an_identity
from tests.firstboot.living import Living, formed, pair
from tests.pair import simulated

__all__ = ["formed", "pair"]

ME, PEER = "justinian", "julius"
SECRET = f"fence-{ME}-1"
BEGAN_WITH = "Abc123Abc123Abc1"


class Cut(BaseException):
    """The power of the node whose BMC it is went."""


def identity(name: str, password_file: str | None = None) -> Identity:
    device = FenceDevice(1, "ipmilan", "127.0.0.1", simulated.PORT, "ksfence", password_file, None)
    whole = an_identity(name)
    first = dataclasses.replace(whole.pair.nodes[0], fencing=(device,))
    nodes = (first, whole.pair.nodes[1])
    return dataclasses.replace(whole, pair=dataclasses.replace(whole.pair, nodes=nodes))


class Bench:
    """Both nodes, the BMC of the first, and every argv that was started."""

    def __init__(self, pair: Living, password_file: str | None = None) -> None:
        self.roots, self.argv, self.cut_at = pair.roots, [], ""  # type: ignore[var-annotated]
        self.contexts = {name: self.context(identity(name, password_file)) for name in (ME, PEER)}
        for name in (ME, PEER):
            latches.set_once(self.roots[name], latches.COMPLETE, "")
            self.secret(name).write_text(BEGAN_WITH)
        (self.roots[ME] / "dev").mkdir()
        (self.roots[ME] / "dev/ipmi0").touch()
        self.taker = Taker(self.contexts[PEER])
        self.peer = self.contexts[PEER].meeting
        self.peer.admit(self.taker.answer)

    def context(self, whose: Identity) -> Context:
        root = self.roots[whose.node]
        meeting = Meeting(whose, root, f"boot of {whose.node}", port=MEETING_PORT)
        return Context(whose, root, self.run, Told(), meeting)

    def run(self, argv: Sequence[str], stdin: str | None = None, **how: Any) -> Result:
        """In-band IPMI goes to the simulated BMC by its vendor's account."""
        words = list(argv)
        self.argv.append(" ".join(words))
        if words[-1].endswith("fence_ipmilan"):
            stdin = f"{stdin}cipher=3\n"
        elif "ipmitool" in words:
            at = words.index("ipmitool")
            words[at : at + 1] = simulated.VENDORS_IPMITOOL
            if "password" in words and self.cut_at == "before":
                raise Cut
            if "password" in words and self.cut_at == "refused":
                raise CommandError(Result(tuple(argv), 1, "", "Set User Password command failed"))
        done = commands.run(words, stdin=stdin, **how)
        if "password" in words and self.cut_at == "after":
            raise Cut
        return done

    def renew(self) -> None:
        fencepassword.renew(self.contexts[ME], sleep=lambda _: self.settle())

    def settle(self) -> None:
        """Until the other node has tried what it has."""
        self.taker.take()
        while self.taker._trying.locked():
            time.sleep(0.05)

    def secret(self, name: str, suffix: str = "") -> Path:
        return self.roots[name] / SECRETS / f"{SECRET}{suffix}"

    def passwords(self) -> list[str]:
        return [self.secret(name).read_text() for name in (ME, PEER)]

    def left(self) -> list[str]:
        return [name for name in (ME, PEER) if self.secret(name, NEXT).exists()]


@pytest.fixture
def bench(pair: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(fencepassword, "MOST_S", 9.0)
    (tmp_path / "bmc").mkdir()
    with simulated.simulated(tmp_path / "bmc"):
        accounts.make(commands.run, "ksfence", BEGAN_WITH, simulated.VENDORS_IPMITOOL)
        bench = Bench(pair)
        bench.peer.start()
        yield bench
        bench.peer.stop()


def opens(tmp_path: Path, password: str) -> bool:
    return simulated.logs_in("ksfence", tmp_path, password)


def test_both_have_it_and_it_opens(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.renew()
    (new, same) = bench.passwords()
    assert new == same != BEGAN_WITH
    assert opens(tmp_path, new)
    assert not opens(tmp_path, BEGAN_WITH)
    assert bench.left() == []
    assert bench.secret(PEER).stat().st_mode & 0o7777 == 0o600
    assert not [line for line in bench.argv if new in line or BEGAN_WITH in line]
    said = capsys.readouterr().out
    assert "julius has logged in with the new password of ks-fence-justinian-1" in said
    assert new not in said


def test_a_bmc_that_does_not_let_it_in_gets_the_old_one_back(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the password, and the other node can't log in with it."""
    real = accounts.make

    def other(run: Any, name: str, password: str, *more: Any) -> None:
        real(run, name, password if password == BEGAN_WITH else "Another0ne", *more)

    monkeypatch.setattr(accounts, "make", other)
    with pytest.raises(NotYet, match="julius has not logged in with the password of fence-justin"):
        bench.renew()
    assert bench.passwords() == [BEGAN_WITH] * 2
    assert opens(tmp_path, BEGAN_WITH)
    assert bench.left() == []


def test_without_the_other_node_nothing_is_changed(bench: Bench, tmp_path: Path) -> None:
    bench.peer.stop()
    with pytest.raises(NotYet, match="no answer from julius"):
        bench.renew()
    assert bench.passwords() == [BEGAN_WITH] * 2
    assert opens(tmp_path, BEGAN_WITH)
    assert not [line for line in bench.argv if "ipmitool" in line]
    bench.peer.start()
    begun = bench.secret(ME, NEXT).read_text()
    bench.renew()
    assert bench.passwords() == [begun] * 2, "it goes on with what it began with"


def test_a_bmc_that_refuses_leaves_the_other_node_with_both(bench: Bench, tmp_path: Path) -> None:
    bench.cut_at = "refused"
    with pytest.raises(CommandError, match="set password"):
        bench.renew()
    assert bench.passwords() == [BEGAN_WITH] * 2
    assert opens(tmp_path, BEGAN_WITH)
    assert bench.left() == [ME, PEER]
    step = Fencing(bench.contexts[ME])
    assert step.remark() == "a new password waits: ksnode fence-password"
    bench.cut_at = ""
    bench.renew()
    assert bench.left() == []
    assert step.remark() == ""
    assert opens(tmp_path, bench.passwords()[1])


@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_off_around_the_bmcs_change(bench: Bench, tmp_path: Path, when: str) -> None:
    """The node with the BMC loses its power then: the other one still gets in, by itself."""
    bench.cut_at = when
    stopped = fencepassword._Renewal._put_back
    fencepassword._Renewal._put_back = lambda *_: None  # type: ignore[method-assign]
    try:
        with pytest.raises(Cut):
            bench.renew()
    finally:
        fencepassword._Renewal._put_back = stopped  # type: ignore[method-assign]
    bench.settle()
    held = bench.secret(PEER).read_text()
    assert opens(tmp_path, held)
    assert (held == BEGAN_WITH) == (when == "before")
    bench.cut_at = ""
    bench.renew()  # typed again: it goes on with the same
    (new, same) = bench.passwords()
    assert new == same
    assert opens(tmp_path, new)
    assert bench.left() == []


def test_stopped_by_hand_it_is_put_back(bench: Bench, tmp_path: Path) -> None:
    def interrupt(_: float) -> None:
        bench.settle()
        if bench.passwords()[1] != BEGAN_WITH and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt

    stopped: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        fencepassword.renew(bench.contexts[ME], sleep=interrupt)
    assert bench.passwords() == [BEGAN_WITH] * 2
    assert opens(tmp_path, BEGAN_WITH)
    assert bench.left() == []


def test_one_in_a_file_is_set_by_people(bench: Bench, pair: Living) -> None:
    (pair.roots[ME] / "root").mkdir()
    file = pair.roots[ME] / "root/bmc"
    file.write_text(f"{BEGAN_WITH}\n")
    file.chmod(0o600)
    bench.peer.stop()
    for name in (ME, PEER):
        (pair.roots[name] / "var/lib/ksbuild/complete").unlink()
    (pair.roots[ME] / "dev/ipmi0").unlink()
    (pair.roots[ME] / "dev").rmdir()
    other = Bench(pair, "/root/bmc")
    other.peer.start()
    with pytest.raises(Refused, match="there is no new password"):
        other.renew()
    file.write_text("Set-by-h4nd\n")
    with pytest.raises(NotYet):
        other.renew()  # not set at the BMC
    assert other.passwords() == [BEGAN_WITH] * 2
    accounts.make(commands.run, "ksfence", "Set-by-h4nd", simulated.VENDORS_IPMITOOL)
    other.renew()
    assert other.passwords() == ["Set-by-h4nd"] * 2
    other.peer.stop()


def test_who_may_hand_one_over(bench: Bench) -> None:
    ask = {TOPIC: {SECRET: "x", "fence-julius-1": "y", "../../etc/shadow": "z"}}
    for kind in ("introduction", "rejoin"):
        assert bench.taker.answer(kind, ask) == {}
    assert bench.taker.answer("pair", {TOPIC: [SECRET]}) == {}
    assert bench.taker.answer("pair", {TOPIC: {SECRET: "\n"}}) == {TOPIC: {}}
    told = bench.taker.answer("pair", ask)[TOPIC]
    assert told.keys() == {SECRET}
    assert told[SECRET].startswith("kept ")
    (bench.roots[PEER] / "var/lib/ksbuild/complete").unlink()
    assert bench.taker.answer("pair", ask) == {}


def test_a_node_that_is_not_complete_has_none(bench: Bench) -> None:
    (bench.roots[ME] / "var/lib/ksbuild/complete").unlink()
    with pytest.raises(Refused, match="not complete"):
        bench.renew()
