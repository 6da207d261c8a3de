"""Who has a leaf and still talks nonsense, or late, or under our own name; and who has none."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firstboot.rendezvous import credentials, session, wire
from firstboot.rendezvous.session import MOST_CONNECTIONS, Meeting, NotMet, NotOfThisPair
from tests.firstboot.agents import NAMES
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_wires import found

ANSWERS = 18447
HOST = dict(zip(NAMES, ("127.0.7.1", "127.0.7.2")))
INTRODUCTION = credentials.INTRODUCTION


@pytest.fixture
def first(roots: dict[str, Path]) -> Iterator[Meeting]:
    meeting = Meeting(an_identity("justinian"), roots["justinian"], "boot", port=ANSWERS)
    yield meeting
    meeting.stop()


@pytest.fixture
def second(roots: dict[str, Path]) -> Iterator[Meeting]:
    meeting = Meeting(an_identity("julius"), roots["julius"], "boot of julius", port=ANSWERS)
    yield meeting
    meeting.stop()


def says(root: Path, frames: bytes) -> bytes:
    """Say that to justinian with the leaf in `root`; what it answers."""
    context = credentials.client_context(root, INTRODUCTION)
    heard = b""
    plain = socket.create_connection((HOST["justinian"], ANSWERS), timeout=10)
    with contextlib.suppress(OSError), plain:
        line = context.wrap_socket(plain, server_hostname=INTRODUCTION)
        with line:
            line.sendall(frames)
            while chunk := line.recv(65536):
                heard += chunk
    return heard


@contextlib.contextmanager
def answering(root: Path, frames: bytes) -> Iterator[None]:
    """A julius that answers every question with that."""
    context = credentials.server_context(root)
    with socket.create_server((HOST["julius"], ANSWERS)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one(listener.accept()[0])

        def one(plain: socket.socket) -> None:
            with contextlib.suppress(OSError, wire.WireError), plain:
                line = context.wrap_socket(plain, server_side=True)
                with line:
                    wire.receive(line, timeout_s=5)
                    line.sendall(frames)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def nested(depth: int) -> bytes:
    return b'{"protocol": ' + b"[" * depth + b"]" * depth + b"}"


NONSENSE = {
    "zeros": frame(b"\0" * 4096),
    "not UTF-8": frame(b'{"protocol": "\xff\xfe"}'),
    "UTF-16": frame('{"protocol": 1}'.encode("utf-16")),
    "nested": frame(nested(30_000)),
    "just nested": frame(nested(900)),
    "a number of 60,000 digits": frame(b'{"protocol": ' + b"9" * 60_000 + b"}"),
    "no number": frame(b'{"protocol": NaN, "boot_id": Infinity}'),
    "a list": frame(b"[1]"),
    "nothing": frame(b"{}"),
    "a GiB announced": struct.pack(">I", 1 << 30) + b"x" * 200_000,
    "a bare line": b"A" * 70_000,
}


@pytest.mark.parametrize("sent", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_by_the_right_leaf(
    first: Meeting, roots: dict[str, Path], sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a question and as an answer: nothing is taken from it, and nothing dies of it."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    first.start()
    assert says(roots["julius"], sent) == b""
    with answering(roots["julius"], sent), pytest.raises(NotMet):
        first.ask()
    assert not first.agreed()
    assert not died, died


ODD = {
    "key": {"digest": "0", "keys": {"\ud800\n\x1b[2J" + "x" * 9000: 1, **dict.fromkeys("abc" * 9)}},
    "many keys": {"digest": "0", "keys": {f"k{n}": n for n in range(5000)}},
    "protocol": {"protocol": "\n\x1b[2J\ud800" * 900},
    "agent": {"agent": ["\n\x1b[2J" * 900]},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_told_of_a_difference_fits_on_a_line(
    first: Meeting, second: Meeting, odd: dict[str, Any]
) -> None:
    state = {**second._state(INTRODUCTION), **odd}
    differing = first._heard(json.loads(json.dumps(state)), INTRODUCTION).differences
    assert differing
    assert all(text.isascii() and text.isprintable() for text in differing), differing
    assert len("; ".join(differing)) < 2000


@pytest.mark.parametrize("boot_id", [7, None, "", "x" * 500, "a\nb", "\ud800"])
def test_a_boot_id_that_is_none(first: Meeting, second: Meeting, boot_id: Any) -> None:
    state = {**second._state(INTRODUCTION), "boot_id": boot_id}
    with pytest.raises(NotMet, match="makes no sense"):
        first._heard(json.loads(json.dumps(state)), INTRODUCTION)


def test_what_an_earlier_boot_said_undoes_nothing(first: Meeting, second: Meeting) -> None:
    """Said before a connection was opened at which the peer had booted again."""
    opened = time.monotonic()
    before = second._state(INTRODUCTION)
    after = {**before, "boot_id": "the next boot"}
    assert first._heard(after, INTRODUCTION, opened).boot_id == "the next boot"
    assert first._heard(before, INTRODUCTION, opened).boot_id == "the next boot"
    assert first._heard(before, INTRODUCTION, time.monotonic()).boot_id == before["boot_id"]


def test_a_bad_line_is_not_called_a_wrong_peer(first: Meeting) -> None:
    """Who it is shows in a certificate alone."""
    with socket.create_server((HOST["julius"], ANSWERS)) as listener:

        def shout() -> None:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError):
                line.sendall(b"SSH-2.0-OpenSSH_8.7\r\n")
                line.recv(4096)

        threading.Thread(target=shout, daemon=True).start()
        with pytest.raises(NotMet, match=r"no answer from julius at .*: .*WRONG_VERSION") as why:
            first.ask()
        assert "not of this pair" not in str(why.value)


def test_a_want_of_threads_passes(
    first: Meeting, second: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.start()

    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        for _ in range(2 * MOST_CONNECTIONS):
            with pytest.raises(NotMet):
                second.ask()
    assert second.ask().differences == ()


@pytest.mark.parametrize("greeted", [False, True], ids=["at once", "after the handshake"])
def test_an_answer_a_byte_at_a_time_has_an_end(
    first: Meeting, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch, greeted: bool
) -> None:
    for name in ("CONNECT_TIMEOUT_S", "TALK_TIMEOUT_S"):
        monkeypatch.setattr(session, name, 0.5)
    context = credentials.server_context(roots["julius"])
    with socket.create_server((HOST["julius"], ANSWERS)) as listener:

        def drip() -> None:
            plain, _ = listener.accept()
            with contextlib.suppress(OSError), plain:
                line = context.wrap_socket(plain, server_side=True) if greeted else plain
                with line:
                    for byte in frame(b"{" * 300) if greeted else b"\x16\x03\x03\x40\0" + bytes(95):
                        line.sendall(bytes((byte,)))
                        time.sleep(0.2)
                    time.sleep(20)

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(NotMet, match=r"no answer from julius at .*: .*(timed out|in time)"):
            first.ask()
        assert time.monotonic() - started < 10


def test_a_wrong_peer_is_called_so(
    first: Meeting, roots: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks: the node of another pair, whose own port is not even open."""
    first.start()
    stranger = Meeting(an_identity("julius"), roots["stranger"], "boot", port=ANSWERS)
    with pytest.raises(NotOfThisPair, match=r"justinian at .* is not of this pair"):
        stranger.ask()
    says(roots["stranger"], b"")
    until = time.monotonic() + 10  # whoever was turned away knows it before it is written down
    while "was turned away" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    assert "was turned away" in caplog.text
    assert not first.agreed()


def test_a_peer_that_bears_our_own_name(first: Meeting, roots: dict[str, Path]) -> None:
    """Both servers were booted as the same node."""
    with answering(roots["justinian"], b""), pytest.raises(NotMet) as why:
        first.ask()
    assert "the certificate names 'justinian', as this node's does" in str(why.value)
    assert "installed as the same node" in str(why.value)


def test_two_servers_booted_as_the_same_node() -> None:
    """The cables tell: neither uses any, each says whom it sees."""
    for answer in found("twins"):
        assert answer["cables"] is None
        assert answer["said"].count("leads to another server that calls itself justinian") == 3
