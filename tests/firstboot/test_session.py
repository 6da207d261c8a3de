"""Two real responders on loopback: mutual TLS, names, plans, garbage, and clocks that are wrong."""

import contextlib
import dataclasses
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot.node import Identity
from firstboot.rendezvous import credentials, session, wire
from firstboot.rendezvous.plans import differences
from firstboot.rendezvous.session import Meeting, NotMet
from tests.firstboot.conftest import a_ca, a_leaf, an_identity

PORT = 18443


@pytest.fixture
def meetings() -> Iterator["Meetings"]:
    made = Meetings()
    yield made
    made.stop()


class Meetings:
    def __init__(self) -> None:
        self._made: list[Meeting] = []

    def start(self, identity: Identity, root: Path, *, listening: bool = True) -> Meeting:
        meeting = Meeting(identity, root, f"boot-of-{identity.node}", port=PORT)
        self._made.append(meeting)
        if listening:
            meeting.start()
        return meeting

    def stop(self) -> None:
        for meeting in self._made:
            meeting.stop()


def test_both_learn_that_the_other_agrees(meetings: Meetings, roots: dict[str, Path]) -> None:
    first = meetings.start(an_identity("justinian"), roots["justinian"])
    second = meetings.start(an_identity("julius"), roots["julius"])
    assert first.ask().differences == ()
    assert not first.passed("rendezvous")
    first.reach("rendezvous")
    assert not first.passed("rendezvous"), "the peer has not said so yet"
    assert second.ask().reached == {"rendezvous"}
    second.reach("rendezvous")
    assert second.passed("rendezvous")
    assert first.ask().boot_id == "boot-of-julius"
    assert first.passed("rendezvous")


def test_being_asked_is_hearing(meetings: Meetings, roots: dict[str, Path]) -> None:
    first = meetings.start(an_identity("justinian"), roots["justinian"])
    second = meetings.start(an_identity("julius"), roots["julius"], listening=False)
    first.reach("rendezvous")
    second.reach("rendezvous")
    second.ask()
    assert first.passed("rendezvous")
    with pytest.raises(NotMet, match=r"no answer from julius at 127\.0\.7\.2:18443"):
        first.ask()


def test_another_plan_is_named_and_never_passed(meetings: Meetings, roots: dict[str, Path]) -> None:
    identity = an_identity("julius")
    crossover = dataclasses.replace(identity.pair.crossover, mtu=1500)
    other = dataclasses.replace(
        identity, pair=dataclasses.replace(identity.pair, crossover=crossover)
    )
    first = meetings.start(an_identity("justinian"), roots["justinian"])
    second = meetings.start(other, roots["julius"])
    second.reach("rendezvous")
    first.reach("rendezvous")
    assert first.ask().differences == ("pair.crossover.mtu",)
    assert second.ask().differences == ("pair.crossover.mtu",)
    assert not first.passed("rendezvous")
    assert not second.passed("rendezvous")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"protocol": 2}, "protocol 1 here, 2 there"),
        ({"agent": "9"}, "there"),
        ({"digest": "0", "keys": None}, "pair.crossover.mtu"),
        ({"digest": "0"}, "plan digest"),
    ],
)
def test_what_differs_is_named(change: dict[str, object], named: str) -> None:
    mine = Meeting(an_identity(), Path("/"), "x")._state(credentials.INTRODUCTION)
    assert differences(mine, mine) == ()
    assert any(named in text for text in differences(mine, {**mine, **change}))


def test_a_node_of_another_pair_is_not_of_this_pair(
    meetings: Meetings, roots: dict[str, Path]
) -> None:
    first = meetings.start(an_identity("justinian"), roots["justinian"])
    stranger = meetings.start(an_identity("julius"), roots["stranger"])
    with pytest.raises(NotMet, match="is not of this pair"):
        first.ask()
    with pytest.raises(NotMet, match="is not of this pair"):
        stranger.ask()


def test_a_leaf_of_this_pair_with_a_wrong_name_is_refused(
    meetings: Meetings, roots: dict[str, Path]
) -> None:
    first = meetings.start(an_identity("justinian"), roots["justinian"])
    meetings.start(an_identity("julius"), roots["impostor"])
    with pytest.raises(NotMet, match="names 'somebody', not 'julius'"):
        first.ask()


@pytest.mark.parametrize(
    "dates", [("2001", "2002"), ("2088", "2089")], ids=["expired", "from the future"]
)
def test_the_time_does_not_matter(
    meetings: Meetings, tmp_path: Path, dates: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New hardware has no clock; the certificates say only who, never when."""
    ca = a_ca(tmp_path / "ca")
    for name in ("justinian", "julius"):
        a_leaf(ca, tmp_path / name, name, dates=dates)
    first = meetings.start(an_identity("justinian"), tmp_path / "justinian")
    second = meetings.start(an_identity("julius"), tmp_path / "julius")
    assert first.ask().differences == second.ask().differences == ()
    monkeypatch.setattr(credentials, "NO_CHECK_TIME", 0)  # without that flag it would matter
    with pytest.raises(NotMet, match="is not of this pair"):
        first.ask()


def connect(source: str = "") -> socket.socket:
    return socket.create_connection(("127.0.7.1", PORT), timeout=20, source_address=(source, 0))


def ends(connection: socket.socket) -> bool:
    """Whether the other side closes the connection in time, whatever it says before."""
    try:
        while connection.recv(4096):
            pass
    except socket.timeout:
        return False
    except OSError:
        pass  # a reset ends it as well
    return True


def met_within(meeting: Meeting, seconds: float) -> bool:
    """Whether the peer answers before time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return meeting.ask().differences == ()
        except NotMet:
            time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, b"\xff" * 70000, b"\x16\x03\x01\x00\x05aaaaa"],
    ids=["http", "zeros", "ones", "half a hello"],
)
def test_garbage_is_turned_away_and_the_peer_still_served(
    meetings: Meetings, roots: dict[str, Path], garbage: bytes
) -> None:
    meetings.start(an_identity("justinian"), roots["justinian"])
    with connect() as connection:
        with contextlib.suppress(OSError):  # it may have been turned away in the middle
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
        assert ends(connection)
    second = meetings.start(an_identity("julius"), roots["julius"])
    assert second.ask().differences == ()


def test_a_full_house_does_not_last(
    meetings: Meetings, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that say nothing are cut, even the peer's own, and then it gets in."""
    monkeypatch.setattr(session, "TALK_TIMEOUT_S", 0.5)
    meetings.start(an_identity("justinian"), roots["justinian"])
    second = meetings.start(an_identity("julius"), roots["julius"], listening=False)
    idle = [connect("127.0.7.2") for _ in range(session.MOST_CONNECTIONS)]
    try:
        with pytest.raises(NotMet):
            second.ask()
        assert met_within(second, 20)
    finally:
        for connection in idle:
            connection.close()


def test_connections_that_are_reset_cost_nothing(
    meetings: Meetings, roots: dict[str, Path]
) -> None:
    """A port scanner's habit; each once held its place for ever."""
    meetings.start(an_identity("justinian"), roots["justinian"])
    for _ in range(5 * session.MOST_CONNECTIONS):
        with connect() as connection:
            linger = struct.pack("ii", 1, 0)  # close() sends a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    second = meetings.start(an_identity("julius"), roots["julius"], listening=False)
    assert met_within(second, 10)


def test_a_want_of_descriptors_passes(
    meetings: Meetings, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "ACCEPT_AGAIN_S", 0.1)
    taken, wanting = socket.socket.accept, [True]

    def accept(listener: socket.socket) -> object:
        if wanting:
            raise OSError(24, "Too many open files")
        return taken(listener)

    monkeypatch.setattr(socket.socket, "accept", accept)
    meetings.start(an_identity("justinian"), roots["justinian"])
    time.sleep(0.5)
    wanting.clear()
    second = meetings.start(an_identity("julius"), roots["julius"], listening=False)
    assert met_within(second, 10)


def test_a_peer_that_hangs_up_gives_no_answer(roots: dict[str, Path]) -> None:
    with socket.create_server(("127.0.7.2", PORT)) as listener:

        def hang_up_on_one() -> None:
            listener.accept()[0].close()

        hang_up = threading.Thread(target=hang_up_on_one)
        hang_up.start()
        with pytest.raises(NotMet, match="no answer from julius"):
            Meeting(an_identity("justinian"), roots["justinian"], "boot", port=PORT).ask()
        hang_up.join()


def test_a_slow_caller_is_cut(
    meetings: Meetings, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TALK_TIMEOUT_S", 0.4)
    meetings.start(an_identity("justinian"), roots["justinian"])
    started = time.monotonic()
    with connect() as connection:
        connection.settimeout(0.1)
        try:
            for _ in range(200):  # a byte at a time, each well within any timeout
                connection.sendall(b"\x16")
                time.sleep(0.1)
            pytest.fail("a slow caller held its place for 20 s")
        except OSError:
            assert time.monotonic() - started < 10


def test_only_tls_1_3_and_only_with_a_certificate(
    meetings: Meetings, roots: dict[str, Path]
) -> None:
    meetings.start(an_identity("justinian"), roots["justinian"])
    old = credentials.client_context(roots["julius"], credentials.INTRODUCTION)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect() as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.load_verify_locations(roots["julius"] / "etc/ksbuild/introduction/ca.crt")
    refused = pytest.raises((ssl.SSLError, wire.WireError, ConnectionError))
    with connect() as plain, anonymous.wrap_socket(plain) as connection, refused:
        wire.receive(connection, timeout_s=5)


def test_the_state_holds_no_value_of_the_plan() -> None:
    text = json.dumps(Meeting(an_identity(), Path("/"), "x")._state(credentials.INTRODUCTION))
    assert "52:54:00" not in text
    assert "127.0.7" not in text
