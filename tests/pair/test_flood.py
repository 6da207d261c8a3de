"""An agent in a process of its own under load: the peer gets in, memory and threads stay few."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from firstboot.rendezvous import credentials
from firstboot.rendezvous.session import MOST_CONNECTIONS, Meeting, NotMet
from tests.firstboot.conftest import a_ca, a_leaf, an_identity

ROOT = Path(__file__).parents[2]
PORT = 18448
WHERE = ("127.0.7.1", PORT)
GIB = 1 << 30
CAP_KIB = 40 * 1024  # what any of this may add to the process; card and design: 40 MB resident


class Responder:
    """Justinian's agent, from outside."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.pair.responder", root, "justinian", str(PORT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=ROOT, text=True,
        )  # fmt: skip
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"
        self._peak = self.peak_kib()

    def peak_kib(self) -> int:
        return self._status("VmHWM")

    def grown_kib(self) -> int:
        """What the peak of its resident memory has grown by since it was ready."""
        return self.peak_kib() - self._peak

    def idle(self) -> bool:
        """Whether no connection is left: two threads, and the files of the beginning."""
        return self._status("Threads") == 2

    def files(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def end(self) -> str:
        """Stop it; all it logged."""
        said: str = self._process.communicate(timeout=20)[1]
        return said

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith(key)))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("flood")
    ours, others = a_ca(folder / "ca"), a_ca(folder / "other-ca")
    for name, ca in (("justinian", ours), ("julius", ours), ("stranger", others)):
        a_leaf(ca, folder / name, "justinian" if name == "justinian" else "julius")
    return {name: folder / name for name in ("justinian", "julius", "stranger")}


@pytest.fixture
def responder(roots: dict[str, Path]) -> Iterator[Responder]:
    made = Responder(roots["justinian"])
    files = made.files()
    yield made
    deadline = time.monotonic() + 15
    while not (made.idle() and made.files() == files) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = (made.idle(), made.files() - files)
    grown, said = made.grown_kib(), made.end()
    assert left == (True, 0), "it never came to rest"
    assert grown < CAP_KIB
    assert "Traceback" not in said
    assert len(said.splitlines()) < 5, said


def the_peer(roots: dict[str, Path]) -> Meeting:
    return Meeting(an_identity("julius"), roots["julius"], "boot", port=PORT)


def got_in(meeting: Meeting, times: int) -> int:
    """How many of so many questions were answered."""
    answered = 0
    for _ in range(times):
        with suppress(NotMet):
            answered += meeting.ask().differences == ()
    return answered


class Slow:
    """Callers that say a byte a second, and call again when they are cut."""

    def __init__(self, number: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self.cut = 0
        for _ in range(number):
            self._call()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _call(self) -> None:
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(WHERE)
        self._selector.register(caller, selectors.EVENT_READ)

    def _run(self) -> None:
        spoke = 0.0
        while not self._stopping:
            for key, _ in self._selector.select(timeout=0.1):
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                self.cut += 1
                self._call()
            if time.monotonic() - spoke >= 1.0:
                spoke = time.monotonic()
                for key in list(self._selector.get_map().values()):
                    with suppress(OSError):
                        key.fileobj.send(b"\x16")  # type: ignore[union-attr]

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


@pytest.mark.usefixtures("responder")
def test_five_hundred_slow_callers(roots: dict[str, Path]) -> None:
    """They hold every place there is for strangers, again and again; the peer has its own."""
    slow = Slow(500)
    try:
        time.sleep(0.5)
        assert got_in(the_peer(roots), 20) == 20
        assert slow.cut > MOST_CONNECTIONS
    finally:
        slow.stop()


@pytest.mark.usefixtures("responder")
def test_a_port_scanner(roots: dict[str, Path]) -> None:
    meeting = the_peer(roots)
    for number in range(2000):
        with socket.create_connection(WHERE, timeout=10) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if number % 200 == 0:
            assert got_in(meeting, 1) == 1
    assert got_in(meeting, 3) == 3


@pytest.mark.usefixtures("responder")
def test_a_line_of_a_gib(roots: dict[str, Path]) -> None:
    """As it is, and by the peer's own leaf, as one frame or as a name in JSON without end."""
    assert poured(socket.create_connection(WHERE, timeout=10), b"A" * 65536) < GIB // 16
    context = credentials.client_context(roots["julius"], credentials.INTRODUCTION)
    for start in (struct.pack(">I", GIB), struct.pack(">I", 65536) + b'{"', b'{"'):
        plain = socket.create_connection(WHERE, timeout=10)
        line = context.wrap_socket(plain, server_hostname=credentials.INTRODUCTION)
        line.sendall(start)
        assert poured(line, b"A" * 16384) < GIB // 16
    assert got_in(the_peer(roots), 3) == 3


def poured(line: socket.socket, chunk: bytes) -> int:
    """Bytes of a GiB that went into the line before it broke."""
    gone = 0
    with line, suppress(OSError):
        while gone < GIB:
            line.sendall(chunk)
            gone += len(chunk)
    return gone


@pytest.mark.usefixtures("responder")
def test_who_is_no_agent(roots: dict[str, Path]) -> None:
    """A browser, somebody with another pair's leaf, and somebody with none, many times over."""
    stranger = credentials.client_context(roots["stranger"], credentials.INTRODUCTION)
    stranger.verify_mode = ssl.CERT_NONE
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname = False
    nobody.verify_mode = ssl.CERT_NONE
    for _ in range(30):
        with socket.create_connection(WHERE, timeout=10) as plain, suppress(OSError):
            plain.sendall(b"GET / HTTP/1.1\r\nHost: justinian\r\n\r\n")
            assert b"HTTP" not in plain.recv(4096)
        for context in (stranger, nobody):
            plain = socket.create_connection(WHERE, timeout=10)
            with plain, suppress(OSError):
                line = context.wrap_socket(plain)
                with line:
                    assert line.recv(4096) == b""
    assert got_in(the_peer(roots), 3) == 3
