"""What a bad line does to rendezvous and secrets: it costs time, and decides nothing."""

from __future__ import annotations

import dataclasses
import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from firstboot.rendezvous import credentials, session
from firstboot.rendezvous.session import Meeting, NotMet
from firstboot.steps import meet
from tests.firstboot.agents import NAMES
from tests.firstboot.conftest import a_ca, a_leaf, an_identity
from tests.pair.relay import HOSTS, Carried, Fate, Relay
from tests.pair.relayed import ANSWERS, ASKS, Agents

FINE = Fate()
LONGEST = 15_000  # bytes; no talk of the two passes more
PATIENT_S = 30.0  # where a machine short of time must not look like a bad line


@pytest.fixture(scope="module")
def introduction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_ca(tmp_path_factory.mktemp("introduction") / "ca")


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TALK_TIMEOUT_S", "CONNECT_TIMEOUT_S"):
        monkeypatch.setattr(session, name, 0.4)
    monkeypatch.setattr(meet, "FIRST_WAIT_S", 0.005)
    monkeypatch.setattr(meet, "LONGEST_WAIT_S", 0.02)


@pytest.fixture
def agents(tmp_path: Path, introduction: Path) -> Iterator[Agents]:
    made = Agents(tmp_path, introduction)
    yield made
    made.stop()


@pytest.fixture
def relays() -> Iterator[Callable[[Callable[[int], Fate]], Relay]]:
    made: list[Relay] = []

    def relay(fate: Callable[[int], Fate]) -> Relay:
        made.append(Relay(ASKS, ANSWERS, fate))
        return made[-1]

    yield relay
    for one in made:
        one.close()


Relaying = Callable[[Callable[[int], Fate]], Relay]


class Weather:
    """Faults one after another, and a whole connection after every so many of them."""

    def __init__(self, faults: list[Fate], *, run: int) -> None:
        # Not in order: early and late ones fall into each part of the exchange.
        random.Random(4).shuffle(faults)  # noqa: S311 - the same at each run
        self.left = faults
        self._run = run

    def __call__(self, number: int) -> Fate:
        if not self.left or number % (self._run + 1) == self._run:
            return FINE
        return self.left.pop()


def through(agents: Agents, relay: Relay, weather: Weather) -> None:
    """Both come through; then they go on asking until every fault there is has befallen them."""
    agents.converge()
    deadline = time.monotonic() + 30
    for name in itertools.cycle(NAMES):
        if not weather.left:
            break
        assert time.monotonic() < deadline, f"{len(weather.left)} faults left"
        with suppress(NotMet):
            agents.meetings[name].ask()
    relay.fate = lambda _: FINE
    time.sleep(session.TALK_TIMEOUT_S)  # what is silent still holds a place
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(session, "TALK_TIMEOUT_S", PATIENT_S)
        patient.setattr(session, "CONNECT_TIMEOUT_S", PATIENT_S)
        for name in NAMES:
            state = agents.meetings[name].ask()
            assert (state.kind, state.differences) == (credentials.PAIR, ())
    agents.audit()
    assert not agents.wrong, agents.wrong


def test_a_fine_line(agents: Agents, relays: Relaying) -> None:
    relay = relays(lambda _: FINE)
    agents.converge()
    assert LONGEST / 2 < max(carried.passed for carried in relay.carried) < LONGEST


@pytest.mark.parametrize("reset", [False, True], ids=["ended", "reset"])
def test_cut_after_any_number_of_bytes(agents: Agents, relays: Relaying, reset: bool) -> None:
    weather = Weather([Fate(cut_at=n, reset=reset) for n in range(0, LONGEST, 150)], run=5)
    through(agents, relays(weather), weather)


def test_garbage_at_any_place(agents: Agents, relays: Relaying) -> None:
    weather = Weather([Fate(garbage_at=n) for n in range(0, LONGEST, 450)], run=3)
    through(agents, relays(weather), weather)


def test_parts_that_come_twice(agents: Agents, relays: Relaying) -> None:
    weather = Weather([Fate(twice_at=n) for n in range(0, LONGEST, 450)], run=3)
    through(agents, relays(weather), weather)


def test_a_line_that_falls_silent(agents: Agents, relays: Relaying) -> None:
    weather = Weather([Fate(silent_at=n) for n in range(0, LONGEST, 1500)], run=1)
    through(agents, relays(weather), weather)


def test_a_slow_line(agents: Agents, relays: Relaying) -> None:
    weather = Weather([Fate(delay_s=0.05) for _ in range(10)], run=3)
    through(agents, relays(weather), weather)


def test_answers_that_overtake_each_other(agents: Agents, relays: Relaying) -> None:
    weather = Weather([Fate(late_s=n / 50) for n in range(12)], run=2)
    through(agents, relays(weather), weather)


def test_all_at_once(agents: Agents, relays: Relaying) -> None:
    chance = random.Random(14)  # noqa: S311 - the same at each run
    faults = []
    for kind in chance.choices(
        ("cut_at", "silent_at", "garbage_at", "twice_at"), (5, 1, 5, 5), k=30
    ):
        late = Fate(delay_s=chance.choice((0.0, 0.02)), late_s=chance.choice((0.0, 0.1)))
        where: dict[str, Any] = {kind: chance.randrange(LONGEST)}
        faults.append(dataclasses.replace(late, **where))
    weather = Weather(faults, run=3)
    through(agents, relays(weather), weather)


def replay(taken: Carried, host: str) -> bytes:
    """Say once more what a caller said, to either node; what it answers."""
    heard = b""
    with socket.create_connection((host, ANSWERS), timeout=5) as line, suppress(OSError):
        line.sendall(taken.said)
        line.shutdown(socket.SHUT_WR)
        while chunk := line.recv(65536):
            heard += chunk
    return heard


def test_a_recorded_session_says_nothing_later(
    agents: Agents, relays: Relaying, introduction: Path, tmp_path: Path
) -> None:
    """Neither to the agents that held it, nor to two that are as they were then."""
    relay = relays(lambda _: FINE)
    agents.converge()
    tapes = [carried for carried in relay.carried if carried.passed > LONGEST / 2]
    assert {tape.host for tape in tapes} == set(HOSTS)
    before = {name: meeting._peer for name, meeting in agents.meetings.items()}
    for tape, host in itertools.product(tapes, HOSTS):
        replay(tape, host)
    assert {name: meeting._peer for name, meeting in agents.meetings.items()} == before
    agents.stop()
    fresh = Agents(tmp_path / "again", introduction)
    try:
        for meeting in fresh.meetings.values():
            meeting.start()
        answers = [replay(tape, host) for tape, host in itertools.product(tapes, HOSTS)]
        assert any(answers), "nobody took the trouble to answer"
        assert not any(meeting.agreed() for meeting in fresh.meetings.values())
    finally:
        fresh.stop()
    with socket.create_server((HOSTS[1], ANSWERS)) as listener:
        for tape in tapes:
            if tape.host == HOSTS[1]:
                played = threading.Thread(target=answer, args=(listener, tape), daemon=True)
                played.start()
                with pytest.raises(NotMet):
                    Meeting(an_identity(), fresh.roots["justinian"], "b", port=ANSWERS).ask()
                played.join(10)


def answer(listener: socket.socket, tape: Carried) -> None:
    """Answer one caller with what another was answered, as slowly as it was asked."""
    line, _ = listener.accept()
    with line, suppress(OSError):
        line.recv(65536)
        line.sendall(tape.answered)
        while line.recv(65536):
            pass


def test_an_answer_held_back_undoes_nothing(
    agents: Agents, relays: Relaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first hears what the second said first, after what it said then."""
    for name in ("TALK_TIMEOUT_S", "CONNECT_TIMEOUT_S"):
        monkeypatch.setattr(session, name, PATIENT_S)
    first, second = (agents.meetings[name] for name in NAMES)
    relay = relays(lambda number: FINE if number else Fate(late_s=0.2))
    for meeting in (first, second):
        meeting.start()
    second.tell("ready", "yes")
    asking = threading.Thread(target=first.ask, daemon=True)
    asking.start()
    deadline = time.monotonic() + PATIENT_S
    while not second.agreed():
        assert time.monotonic() < deadline, "the first was never heard"
        time.sleep(0.005)
    assert first.heard("ready") is None, "the answer was not held back"
    second.tell("ready", "no more")
    second.ask()
    assert first.heard("ready") == "no more"
    asking.join(20)
    assert len(relay.carried) == 2
    assert first.heard("ready") == "no more"


def test_leaves_from_other_years(
    tmp_path: Path, relays: Relaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by a workstation whose clock was years ahead, and long expired: all goes through."""
    ca = a_ca(tmp_path / "ca")
    years = {"justinian": ("2035", "2036"), "julius": ("2000", "2001")}
    agents = Agents(tmp_path, ca)
    for name, dates in years.items():
        a_leaf(ca, tmp_path / "made" / name, name, dates=dates)
        there = tmp_path / "made" / name / "etc/ksbuild/introduction"
        for file in ("node.key", "node.crt"):
            (there / file).replace(agents.roots[name] / "etc/ksbuild/introduction" / file)
    relays(lambda _: FINE)
    try:
        agents.converge()
        assert agents.meetings["julius"].ask().kind == credentials.PAIR
        monkeypatch.setattr(credentials, "NO_CHECK_TIME", 0)  # without that flag none would
        monkeypatch.setattr(credentials, "open_kinds", lambda _: (credentials.INTRODUCTION,))
        with pytest.raises(NotMet, match="CERTIFICATE_VERIFY_FAILED"):
            agents.meetings["julius"].ask()
    finally:
        agents.stop()
