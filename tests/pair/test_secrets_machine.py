"""Every order of crashes, power cuts, lost messages and new installations that hypothesis finds.

The step, the store, the latch and the choice of leaves are the real ones; openssl and the network
are played. tests/firstboot/test_secrets.py runs the same with real TLS.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firstboot import latches
from firstboot.commands import CommandError, Result
from firstboot.rendezvous import credentials
from firstboot.rendezvous.credentials import SHARED
from firstboot.rendezvous.session import Meeting, NotMet, NotOfThisPair, State
from firstboot.steps import Context
from firstboot.steps.secrets import Secrets
from tests.firstboot.conftest import Told, an_identity
from tests.pair.disk import Cut, Disk, Syscalls, scratch

NAMES = ("justinian", "julius")
OTHER = dict(zip(NAMES, NAMES[::-1], strict=True))
ENOUGH_ROUNDS = 8
names = st.sampled_from(NAMES)


class PlayedOpenssl:
    """Certificates as texts: a key is a number, a leaf names its CA's key, its own and its node."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, argv: Sequence[str], *, stdin: str | None = None, **_: Any) -> Result:
        return Result(tuple(argv), 0, self._answer(list(argv), stdin or ""), "")

    def _answer(self, argv: list[str], stdin: str) -> str:
        def of(option: str) -> str:
            text = Path(argv[argv.index(option) + 1]).read_text()
            return _body(text) if "PRIVATE KEY" in text else text

        if argv[1] == "genpkey":
            return _pem("PRIVATE KEY", f"{next(self._numbers):040}\n")
        if argv[1] == "req":
            return _pem("CERTIFICATE REQUEST", of("-key"))
        if argv[1] == "ca":
            name = argv[argv.index("-subj") + 1]
            return _pem("CERTIFICATE", f"{of('-keyfile')}{_body(stdin)}{name}\n")
        if argv[1] == "verify":
            ca, leaf = _lines(of("-CAfile")), _lines(Path(argv[-1]).read_text())
            if ca[1] != leaf[0]:
                raise CommandError(Result(tuple(argv), 2, "", "self-signed"))
            return ""
        assert argv[1] in ("x509", "pkey"), argv
        return _lines(stdin)[1] if argv[1] == "x509" else of("-in").strip()


def _pem(what: str, body: str) -> str:
    return f"-----BEGIN {what}-----\n{body}-----END {what}-----\n"


def _body(pem: str) -> str:
    return "".join(f"{line}\n" for line in _lines(pem))


def _lines(pem: str) -> list[str]:
    return pem.splitlines()[1:-1]


class PlayedMeeting(Meeting):
    """The real one but for the wire: `peers` holds who is up, `lose` what gets lost of a talk."""

    def __init__(self, name: str, root: Path, peers: dict[str, PlayedMeeting]) -> None:
        super().__init__(an_identity(name), root, f"boot of {name}")
        self.root, self.name, self._peers = root, name, peers
        self.lose = ""

    def _ask(self, kind: str) -> State:
        peer = self._peers.get(self._identity.peer.name)
        if peer is None or self.lose == "question":
            raise NotMet("nobody answers")
        if not self._trusted(peer, kind):
            raise NotOfThisPair("another leaf")
        asked = self._wire(kind)
        peer._heard(asked, kind)
        answer = peer._wire(kind, peer._admit(kind, asked["told"]))
        if self.lose == "answer":
            raise NotMet("cut off")
        return self._heard(answer, kind)

    def _trusted(self, peer: PlayedMeeting, kind: str) -> bool:
        if kind not in credentials.open_kinds(peer.root):
            return False
        if kind == credentials.INTRODUCTION:
            return True
        sides = [(self.root, peer.root), (peer.root, self.root)]
        return all(_issuer(a) == _authority(b) for a, b in sides)

    def _wire(self, kind: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
        sent = json.dumps(self._state(kind, more))
        if kind != credentials.PAIR:
            authkey = self.root / "etc/ksbuild/secrets/authkey"
            assert not authkey.exists() or authkey.read_text() not in sent
        parsed: dict[str, Any] = json.loads(sent)
        return parsed


def _issuer(root: Path) -> str:
    """Of both leaves, which a node has together or not at all."""
    node, guests = (
        _lines((root / f"etc/ksbuild/pair/{leaf}.crt").read_text())[0]
        for leaf in ("node", "guests")
    )
    assert node == guests
    return node


def _authority(root: Path) -> str:
    return _lines((root / "etc/ksbuild/pair/ca.crt").read_text())[1]


class Exchange(RuleBasedStateMachine):
    """Two nodes; every rule may be cut short before any write becomes durable."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = scratch("exchange")
        self.openssl = PlayedOpenssl()
        self.roots = {name: self.folder / name for name in NAMES}
        self.meetings: dict[str, PlayedMeeting] = {}
        self.steps: dict[str, Secrets] = {}
        self.fuses: dict[str, tuple[int | None, bool]] = {}
        self.latched_with: dict[str, str] = {}
        for name in NAMES:
            self._install(name)
        self.disks = {name: Disk(root) for name, root in self.roots.items()}
        self.patch = pytest.MonkeyPatch()
        self.calls = Syscalls(list(self.disks.values()), self.patch)

    def _install(self, name: str) -> None:
        root = self.roots[name]
        shutil.rmtree(root, ignore_errors=True)
        (root / "etc/ksbuild").mkdir(parents=True)
        (root / "var/lib/ksbuild").mkdir(parents=True)

    @rule(name=names)
    def advance(self, name: str) -> None:
        """The node's agent does what it can now; it is started first where it does not run."""
        fuse, power = self.fuses.pop(name, (None, False))
        self.calls.left = fuse
        try:
            self._advance(name)
        except Cut:
            self.calls.left = None
            self.die(name, power)
        else:
            if self.calls.left is not None:
                self.fuses[name] = (self.calls.left, power)
        self.calls.left = None

    @rule(name=names, calls=st.integers(0, 50), power=st.booleans())
    def light_a_fuse(self, name: str, calls: int, power: bool) -> None:
        """The node will be cut short so many calls from now."""
        self.fuses[name] = (calls, power)

    def _advance(self, name: str) -> None:
        if name not in self.steps:
            self.disks[name].settle()  # as every attempt of the agent begins
            meeting = PlayedMeeting(name, self.roots[name], self.meetings)
            context = Context(an_identity(name), meeting.root, self.openssl, Told(), meeting)
            step = Secrets(context)
            if step.check():
                step._make_own()
            self.meetings[name], self.steps[name] = meeting, step
        if self.steps[name].advance():
            self.steps[name].make_known()

    @rule(name=names, lose=st.sampled_from(["", "", "question", "answer"]))
    def ask(self, name: str, lose: str) -> None:
        """One question, of which a part may get lost."""
        if name in self.meetings:
            self.meetings[name].lose = lose
            with contextlib.suppress(NotMet):
                self.meetings[name].ask()

    @rule(name=names, power=st.booleans())
    def die(self, name: str, power: bool) -> None:
        """The agent is killed, or the node loses its power and what was not synced."""
        self.meetings.pop(name, None)
        self.steps.pop(name, None)
        if power:
            self.disks[name].power_cut()

    @rule(rounds=st.integers(1, 4))
    def go_on(self, rounds: int) -> None:
        """No message gets lost for a while."""
        for name in NAMES * rounds:
            self.advance(name)
            self.ask(name, "")

    @precondition(lambda self: not self.latched_with)
    @rule(name=names)
    def install_again(self, name: str) -> None:
        """Before the switch a node may be installed anew; later that takes allow-rejoin.

        The switch begins when the other hears that this one stored everything: it sets its latch
        at its next look, and nothing takes the word back.
        """
        if other := self.meetings.get(OTHER[name]):
            heard = other.heard(SHARED, private=True)
            if isinstance(heard, dict) and heard["stored"]:
                return
        self.meetings.pop(name, None)
        self.steps.pop(name, None)
        self._install(name)
        self.disks[name].settle()

    @invariant()
    def one_authority_and_a_peer_that_can_follow(self) -> None:
        """Whoever refuses the introduction has a peer with a leaf of the same CA, for ever."""
        for name, other in (NAMES, NAMES[::-1]):
            root = self.roots[name]
            if not latches.is_set(root, latches.SECRETS_STORED):
                assert name not in self.latched_with, "a latch is gone"
                continue
            assert self.latched_with.setdefault(name, _authority(root)) == _authority(root)
            assert credentials.open_kinds(root) == (credentials.PAIR,)
            assert _issuer(self.roots[other]) == _authority(root) == _authority(self.roots[other])
            for secret in ("authkey", "drbd"):
                path = f"etc/ksbuild/secrets/{secret}"
                assert (root / path).read_text() == (self.roots[other] / path).read_text()

    def teardown(self) -> None:
        """Once faults stop, both come through within a few rounds."""
        try:
            for name in NAMES * ENOUGH_ROUNDS:
                self._advance(name)
                self.ask(name, "")
            for name in NAMES:
                assert self.steps[name].advance(), f"{name} is stuck"
                assert not self.steps[name].check()
            for name in NAMES:
                self.die(name, power=True)
                self._advance(name)
                assert not self.steps[name].check(), "what it had stored was not durable"
            self.one_authority_and_a_peer_that_can_follow()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)


TestExchange = Exchange.TestCase
TestExchange.settings = settings(max_examples=100, stateful_step_count=30)
