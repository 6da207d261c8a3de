"""A server on loopback, as uvicorn runs it, and requests that no client library would send."""

import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import uvicorn

from builder.plan import Plan, tokens
from builder.plan.tokens import Progress
from builder.profile.load import parse
from builder.profile.model import Profile
from builder.serve.app import Server
from builder.serve.catalog import Catalog, catalog
from builder.serve.run import Uvicorn, allow, bind
from builder.serve.store import Key, Store
from builder.serve.webhook import Webhook
from builder.serve.writer import Writer
from tests.builder.conftest import planned

ROOT = Path(__file__).parents[2]
SECRET, OTHER = "ksbuild-serve-" + "1" * 64, "ksbuild-serve-" + "2" * 64
BASE = "http://10.0.0.9:8080"
ASSETS = {
    "page.css": ("text/css", (ROOT / "builder/serve/page.css").read_text()),
    "page.js": ("text/javascript", (ROOT / "builder/serve/page.js").read_text()),
}
NODES = ("justinian", "julius")
# The server may have answered and gone before the last byte was sent.
HUNG_UP = (errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET)
VALID_S, REFETCH_S = 86400.0, 1800.0


@cache
def profile(number: int = 0) -> Profile:
    """The example's pair, or as many others as are wanted: ids, names and ports of their own."""
    text = (ROOT / "profiles/example.toml").read_text()
    if number:
        text = text.replace('name = "00014"', f'name = "{14 + number:05}"')
        text = text.replace("2f0c5a8e", f"{number:08x}").replace("00:25:B3", f"02:{number:02X}:B3")
        text = text.replace("CZC00014", f"CZC{14 + number:05}")
    return parse(text.encode(), "pair.toml").profile


@cache
def _plan(secret: str, number: int) -> Plan:
    one = profile(number)
    told = {node.name: tokens.progress(secret, node.name) for node in one.node}
    return planned(one, progress=Progress(BASE, told))


def served(*secrets: str) -> Catalog:
    """A pair for each key; the first one's opens the page."""
    plans = [_plan(secret, number) for number, secret in enumerate(secrets or (SECRET,))]
    keys = secrets or (SECRET,)
    return catalog(
        (plan, key, f"{plan.profile.pair.name}.toml") for plan, key in zip(plans, keys, strict=True)
    )


@dataclass
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class Running:
    """A server that runs, and its clock, which a test may move."""

    port: int
    server: Server
    state: Path
    said: list[str] = field(default_factory=list)
    ahead_s: float = 0.0
    tls: ssl.SSLContext | None = None

    @property
    def page(self) -> str:
        """The path that people start from."""
        secret = next(iter(self.server.catalog.nodes.values())).secret
        return f"/see/{tokens.page(secret)}/"

    @property
    def origin(self) -> str:
        """The server's address, as this machine reaches it."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def key(self, node: str = "justinian") -> Key:
        """A node of the first pair."""
        return Key(next(iter(self.server.catalog.pairs)), node)

    def kickstart(self, node: str = "justinian", generation: int = 1) -> str:
        """The path of a node's kickstart."""
        return f"/ks/{self.server.catalog.nodes[self.key(node)].token(generation)}"

    def installer(self, node: str = "justinian") -> dict[str, str]:
        """The headers that a node's Anaconda sends."""
        of = self.server.catalog.nodes[self.key(node)].section
        ports = (*of.uplink.ports, *of.crossover.ports)
        headers = {
            f"X-RHN-Provisioning-MAC-{n}": f"ens{n} {m.lower()}" for n, m in enumerate(ports)
        }
        return {**headers, "X-System-Serial-Number": f"{of.serial}   "}

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """One request."""
        connection = (
            HTTPSConnection("127.0.0.1", self.port, timeout=120, context=self.tls)
            if self.tls
            else HTTPConnection("127.0.0.1", self.port, timeout=120)
        )
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, found, answer.read())
        finally:
            connection.close()

    def fetch(self, node: str = "justinian", generation: int = 1) -> Answered:
        """The kickstart, as that node's installer asks for it."""
        return self.ask(self.kickstart(node, generation), headers=self.installer(node))

    def tell(self, stage: str, event: str, detail: str = "", node: str = "justinian") -> Answered:
        """An event, as that node sends it."""
        body = urlencode({"stage": stage, "event": event, "detail": detail}).encode()
        token = tokens.progress(self.server.catalog.nodes[self.key(node)].secret, node)
        return self.ask("/events", "POST", body, {"Authorization": f"Bearer {token}"})

    def raw(self, sent: bytes, *, ends: bool = False) -> bytes:
        """What comes back for these very bytes; with `ends` nothing more will come from here."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            try:
                connection.sendall(sent)
                if ends:
                    connection.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno not in HUNG_UP:
                    raise
            came = bytearray()
            with suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    came += part
            return bytes(came)


@contextmanager
def running(
    folder: Path,
    things: Catalog | None = None,
    *,
    certificate: tuple[Path, Path] | None = None,
    webhook: Webhook | None = None,
) -> Iterator[Running]:
    """A server until the end of the block; the state below `folder` is left."""
    state = folder / "state.sqlite"
    things = things or served()
    store, writing = Store(state), Store(state)
    allow(writing, things, time.time() + VALID_S)
    writer = Writer(writing)
    said: list[str] = []
    listening = bind("127.0.0.1", 0)
    heard = (said.append, said.append)
    server = Server(things, store, writer, BASE, REFETCH_S, ASSETS, *heard, webhook)
    one = Running(listening.getsockname()[1], server, state, said)
    server.now = lambda: time.time() + one.ahead_s
    if certificate:
        one.tls = ssl.create_default_context(cafile=str(certificate[0]))
    config = uvicorn.Config(
        server.app(), log_config=None, server_header=False, lifespan="on", http="h11",
        timeout_graceful_shutdown=1, ssl_certfile=certificate and certificate[0],
        ssl_keyfile=certificate and certificate[1],
    )  # fmt: skip
    runner = Uvicorn(config, server.changes.end)
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not runner.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield one
    finally:
        runner.should_exit = True
        thread.join()
        writer.close()
        store.close()
        writing.close()


def path_of(url: str) -> str:
    """The path of a URL that the server gave out."""
    return urlsplit(url).path
