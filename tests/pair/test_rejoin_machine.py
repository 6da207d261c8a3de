"""A node comes back by a ticket through every order of crashes, losses and installations found.

Steps, store, tickets and answers are the real ones; openssl and the network are played.
tests/firstboot/test_rejoin.py runs the same with real TLS.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firstboot import latches
from firstboot.engine import Refused
from firstboot.rendezvous import credentials, ticket
from firstboot.rendezvous.admission import Admission
from firstboot.rendezvous.session import NotMet
from firstboot.steps import Context
from firstboot.steps.secrets import Secrets
from firstboot.verbs.allowrejoin import make
from tests.firstboot.conftest import Told, an_identity
from tests.pair.disk import Cut, Disk, Syscalls, scratch
from tests.pair.test_secrets_machine import (
    ENOUGH_ROUNDS,
    NAMES,
    OTHER,
    PlayedMeeting,
    PlayedOpenssl,
)

KEPT = ("pair/ca.key", "pair/ca.crt", "pair/node.crt", "secrets/authkey", "secrets/drbd")


class TicketMeeting(PlayedMeeting):
    """By a ticket the certificate is the one that the other side has open, and no other."""

    def _trusted(self, peer: PlayedMeeting, kind: str) -> bool:
        if kind != credentials.REJOIN:
            return super()._trusted(peer, kind)
        if credentials.REJOIN not in credentials.open_kinds(peer.root):
            return False
        given = ticket.opened(peer.root)
        assert given is not None
        shown = (self.root / "etc/ksbuild/rejoin/node.crt").read_text()
        return shown == given.certificate


class Rejoin(RuleBasedStateMachine):
    """One node of the pair lives on; the other is installed again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = scratch("rejoin")
        self.openssl = PlayedOpenssl()
        self.roots = {name: self.folder / name for name in NAMES}
        self.meetings: dict[str, PlayedMeeting] = {}
        self.steps: dict[str, Secrets] = {}
        self.fuses: dict[str, int] = {}
        self.installations = 0
        self.came_by: dict[str, set[int]] = {}  # ticket -> installations that got certificates
        self.patch = pytest.MonkeyPatch()

    @initialize(survivor=st.sampled_from(NAMES))
    def form(self, survivor: str) -> None:
        """The pair gets its secrets; then the newcomer's disk is new."""
        for root in self.roots.values():
            for part in ("etc/ksbuild", "var/lib/ksbuild", "proc/sys/kernel/random", "run"):
                (root / part).mkdir(parents=True)
            (root / "proc/sys/kernel/random/boot_id").write_text("a boot\n")
            (root / "etc/ksbuild/introduction").mkdir()
            (root / "etc/ksbuild/introduction/link.key").write_text("ksbuild-link-0\n")
        self.disks = {name: Disk(root) for name, root in self.roots.items()}
        self.calls = Syscalls(list(self.disks.values()), self.patch)
        for name in NAMES * ENOUGH_ROUNDS:
            self._advance(name)
            self._ask(name)
        self.survivor, self.newcomer = survivor, OTHER[survivor]
        self.kept = {path: self._read(survivor, path) for path in KEPT}
        self.issue()
        self.install()

    def _read(self, name: str, path: str) -> str:
        return (self.roots[name] / "etc/ksbuild" / path).read_text()

    def _advance(self, name: str) -> None:
        root = self.roots[name]
        if name not in self.steps:
            self.disks[name].settle()  # as every attempt of the agent begins
            meeting = TicketMeeting(name, root, self.meetings)
            identity = an_identity(name)
            meeting.admit(Admission(identity, root, self.openssl).answer)
            step = Secrets(Context(identity, root, self.openssl, Told(), meeting))
            if step.check():
                step._make_own()
            self.meetings[name], self.steps[name] = meeting, step
        if self.steps[name].advance():
            self.steps[name].make_known()

    def _ask(self, name: str, lose: str = "") -> None:
        if name in self.meetings:
            self.meetings[name].lose = lose
            with contextlib.suppress(NotMet):
                self.meetings[name].ask()

    @rule()
    def issue(self) -> None:
        """A human types ksnode allow-rejoin; what was issued before is void."""
        self.given = json.loads(
            make(an_identity(self.survivor), self.roots[self.survivor], 3600, self.openssl)
        )

    @rule()
    def install(self) -> None:
        """The newcomer is installed, from a medium with the last ticket; or a second machine is."""
        self.die(self.newcomer, power=False)
        root = self.roots[self.newcomer]
        for part in ("etc", "var"):
            shutil.rmtree(root / part, ignore_errors=True)
        (root / "var/lib/ksbuild").mkdir(parents=True)
        (root / "etc/ksbuild/rejoin").mkdir(parents=True)
        (root / "etc/ksbuild/rejoin/node.crt").write_text(self.given["certificate"])
        self.disks[self.newcomer].settle()
        self.installations += 1

    @rule()
    def expire(self) -> None:
        """An hour goes by."""
        path = self.roots[self.survivor] / ticket.PATH
        if path.exists():
            old = json.loads(path.read_text())
            path.write_text(json.dumps({**old, "deadline": 0, "expires": 0}))
            self.disks[self.survivor].settle()

    @rule(who=st.sampled_from(["newcomer", "survivor"]), calls=st.integers(0, 40))
    def light_a_fuse(self, who: str, calls: int) -> None:
        """That node loses its power so many durable writes from now."""
        self.fuses[who] = calls

    @rule()
    def advance(self) -> None:
        """The newcomer's agent does what it can now."""
        with self._burning("newcomer", self.newcomer), contextlib.suppress(Refused):
            self._advance(self.newcomer)

    @rule(lose=st.sampled_from(["", "", "question", "answer"]))
    def ask(self, lose: str) -> None:
        """The newcomer asks; only the other node writes meanwhile."""
        with self._burning("survivor", self.survivor):
            self._ask(self.newcomer, lose)

    @contextlib.contextmanager
    def _burning(self, who: str, name: str) -> Iterator[None]:
        self.calls.left = self.fuses.pop(who, None)
        try:
            yield
        except Cut:
            self.calls.left = None
            self.die(name, power=True)
            if name == self.survivor:
                self._advance(name)  # systemd starts its agent again
        else:
            if self.calls.left is not None:
                self.fuses[who] = self.calls.left
        self.calls.left = None

    @rule(who=st.booleans(), power=st.booleans())
    def crash(self, who: bool, power: bool) -> None:
        """One of the agents is killed, or its node loses its power."""
        self.die(self.survivor if who else self.newcomer, power)
        if who:
            self._advance(self.survivor)

    def die(self, name: str, power: bool) -> None:
        self.meetings.pop(name, None)
        self.steps.pop(name, None)
        if power:
            self.disks[name].power_cut()

    @rule(rounds=st.integers(1, 4))
    def go_on(self, rounds: int) -> None:
        """Nothing gets lost for a while."""
        for _ in range(rounds):
            self.advance()
            self.ask("")

    @invariant()
    def the_survivor_keeps_all_and_a_ticket_serves_one(self) -> None:
        if not hasattr(self, "kept"):
            return
        for path, text in self.kept.items():
            assert self._read(self.survivor, path) == text, path
        root = self.roots[self.newcomer]
        if (root / "etc/ksbuild/pair/node.crt").exists():
            mark = ticket.mark((root / "etc/ksbuild/rejoin/node.crt").read_text())
            served = self.came_by.setdefault(mark, set())
            served.add(self.installations)
            assert len(served) == 1, "one ticket, two newcomers"
        if latches.is_set(root, latches.SECRETS_STORED):
            shown = (root / "etc/ksbuild/rejoin/node.crt").read_text()
            given = ticket.opened(self.roots[self.survivor])
            assert given is None or given.certificate != shown, "used up, and still open"
            for path in ("pair/ca.key", "secrets/authkey", "secrets/drbd"):
                assert self._read(self.newcomer, path) == self.kept[path]

    def teardown(self) -> None:
        """Nobody is locked out for ever: one more ticket, and the newcomer comes through."""
        try:
            if hasattr(self, "kept"):
                self.fuses.clear()
                self.issue()
                self.install()
                for _ in range(ENOUGH_ROUNDS):
                    self.advance()
                    self.ask("")
                assert self.steps[self.newcomer].advance(), "the newcomer is stuck"
                self.die(self.newcomer, power=True)
                self._advance(self.newcomer)
                assert not self.steps[self.newcomer].check(), "what it stored was not durable"
                self.the_survivor_keeps_all_and_a_ticket_serves_one()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)


HALVES = 8  # turns and questions until a newcomer has all


def live(machine: Rejoin, halves: int) -> None:
    for number in range(halves):
        machine.advance() if number % 2 == 0 else machine.ask("")
        machine.the_survivor_keeps_all_and_a_ticket_serves_one()


@pytest.mark.parametrize("survivor", NAMES)
@pytest.mark.parametrize("halves", range(HALVES + 1))
def test_a_second_newcomer_at_every_moment_of_the_first(survivor: str, halves: int) -> None:
    """With and without a power cut of the node that issued the ticket, it serves one of the two."""
    for cut in (False, True):
        machine = Rejoin()
        try:
            machine.form(survivor)
            live(machine, halves)
            if cut:
                machine.crash(who=True, power=True)
            machine.install()
            live(machine, HALVES)
            served = machine.came_by.get(ticket.mark(machine.given["certificate"]), set())
            # After two halves the first was answered, and had not stored what it was given.
            assert served == ({2} if halves < 2 else set() if halves == 2 else {1})
        finally:
            machine.teardown()


@pytest.mark.parametrize("who", ["newcomer", "survivor"])
def test_a_power_cut_before_every_write(who: str) -> None:
    """The newcomer comes through by the same ticket, whichever of the two was cut off."""
    for calls in range(200):
        machine = Rejoin()
        try:
            machine.form("justinian")
            machine.fuses[who] = calls
            live(machine, 2 * HALVES)
            assert latches.is_set(machine.roots["julius"], latches.SECRETS_STORED), calls
            if who in machine.fuses:
                assert calls > (20 if who == "newcomer" else 5), "it was hardly ever cut"
                return
        finally:
            machine.teardown()
    pytest.fail("there is no end to the writes")


TestRejoin = Rejoin.TestCase
TestRejoin.settings = settings(max_examples=30, stateful_step_count=25)
