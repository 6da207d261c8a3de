"""Progress is told to a server that may be anything; the agent never notices."""

import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import parse_qs

import pytest

from firstboot import progress
from firstboot.journal import Journal
from firstboot.progress import Progress
from tests.firstboot.conftest import an_identity

TOKEN = "ksbuild-progress-" + "c" * 40


class Listener:
    """A server on loopback that answers each event as a test wants it."""

    def __init__(self, answer: Callable[[Any], None], context: Optional[ssl.SSLContext]) -> None:
        self.heard: list[dict[str, str]] = []
        self.tokens: set[str] = set()
        heard, tokens = self.heard, self.tokens

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode("ascii")
                said = {key: values[0] for key, values in parse_qs(body).items()}
                tokens.add(self.headers["Authorization"])
                answer(self)
                heard.append(said)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stages(self) -> list[str]:
        return [f"{said['stage']}: {said['event']}" for said in self.heard]


def taken(handler: Any) -> None:
    handler.send_response(204)
    handler.end_headers()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(
        answer: Callable[[Any], None] = taken, context: Optional[ssl.SSLContext] = None
    ) -> Listener:
        started.append(Listener(answer, context))
        return started[-1]

    yield start
    for listener in started:
        listener.server.shutdown()
        listener.server.server_close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAUSE_S", 0.01)


def configure(root: Path, port: int, scheme: str = "http") -> None:
    path = root / progress.CONFIGURATION
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"url": f"{scheme}://127.0.0.1:{port}", "token": TOKEN}))


def eventually(true: Callable[[], object], within_s: float = 120.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_journal_tells_it(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    listener = listen()
    configure(tmp_path, listener.port)
    journal = Journal(tmp_path, an_identity(), "boot-1")
    journal("cabling", "waiting", "port 1: no carrier; 50 % \u2192 & more")
    journal("cabling", "ok")
    journal.progress("report", "done", "what no encoding has: \ud800")
    journal.progress.flush(120)
    eventually(lambda: listener.stages()[-2:] == ["cabling: ok", "report: done"])
    assert listener.tokens == {f"Bearer {TOKEN}"}


def test_of_each_stage_the_last_word_counts(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    gate = threading.Event()

    def at_last(handler: Any) -> None:
        gate.wait(120)
        taken(handler)

    listener = listen(at_last)
    configure(tmp_path, listener.port)
    tell = Progress(tmp_path)
    tell("uplink", "ok")  # is under way while the others come
    eventually(lambda: tell._thread is not None)
    for done in range(100):
        tell("replication", "waiting", f"{done} %")
    tell("mounted", "missing", "x" * 100_000)
    gate.set()
    tell.flush(120)
    eventually(lambda: len(listener.heard) >= 3)
    last = {said["stage"]: said for said in listener.heard}
    assert last["replication"]["detail"] == "99 %"
    assert len(listener.heard) <= 4
    assert len(last["mounted"]["detail"]) == progress.DETAIL_CHARACTERS


def test_what_was_not_taken_is_told_later(tmp_path: Path, listen: Callable[..., Listener]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    configure(tmp_path, port)
    tell = Progress(tmp_path)
    tell("uplink", "ok")
    tell("host", "ok")
    tell.flush(0.2)
    listener = listen()
    tell._url = f"http://127.0.0.1:{listener.port}"
    tell("cabling", "ok")  # news: it is tried again
    tell.flush(120)
    eventually(lambda: sorted(listener.stages()) == ["cabling: ok", "host: ok", "uplink: ok"])


def slow(_: Any) -> None:
    time.sleep(progress.TIMEOUT_S + 1)


def elsewhere(handler: Any) -> None:
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:1/")
    handler.end_headers()


def endless(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    handler.wfile.write(b"<html>" * 10_000)


def garbage(handler: Any) -> None:
    handler.wfile.write(b"\x00\xff" * 4096 + b"\r\n\r\n")


def broken(handler: Any) -> None:
    handler.send_response(500)
    handler.end_headers()


@pytest.mark.parametrize("answer", [slow, elsewhere, endless, garbage, broken])
def test_no_server_holds_the_agent_up(
    tmp_path: Path, listen: Callable[..., Listener], answer: Callable[[Any], None]
) -> None:
    listener = listen(answer)
    configure(tmp_path, listener.port)
    journal = Journal(tmp_path, an_identity(), "boot-1")
    started = time.monotonic()
    for step in ("uplink", "host", "cabling"):
        journal(step, "ok")
    assert time.monotonic() - started < 1
    eventually(lambda: listener.heard)
    assert journal.progress._thread is not None
    assert journal.progress._thread.is_alive()
    started = time.monotonic()
    journal.progress.flush(0.3)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"url": "x"}', '{"url": "ftp://:x:/[", "token": "\\n"}', "\x80"]
)
def test_a_configuration_of_nonsense(tmp_path: Path, text: str) -> None:
    path = tmp_path / progress.CONFIGURATION
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")
    tell = Progress(tmp_path)
    tell("uplink", "ok")
    tell.flush(0.2)
    assert tell._thread is None or tell._thread.is_alive()


def certificate(folder: Path, name: str) -> Path:
    """A certificate that a server on loopback shows, and its key beside it."""
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN={name}"
    done = subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / f"{name}.crt"


@pytest.mark.parametrize("pinned", ["server", "other"])
def test_the_servers_certificate_is_looked_at(
    tmp_path: Path, listen: Callable[..., Listener], pinned: str
) -> None:
    for name in ("server", "other"):
        certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    listener = listen(context=context)
    configure(tmp_path, listener.port, "https")
    (tmp_path / progress.CERTIFICATE).write_bytes((tmp_path / f"{pinned}.crt").read_bytes())
    tell = Progress(tmp_path)
    assert tell._take("uplink", "ok", "") == (pinned == "server")
    eventually(lambda: bool(listener.heard) == (pinned == "server"))
