"""Bind, serve, and end: the only part of the server that touches the world outside its state."""

import contextlib
import gc
import logging
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from uvicorn.protocols.http.h11_impl import H11Protocol

from builder.inputs import certificates
from builder.serve import answers, trust
from builder.serve.app import Server
from builder.serve.catalog import Catalog
from builder.serve.dnsmasq import Dnsmasq
from builder.serve.menus import Menus
from builder.serve.store import Store, StoreError
from builder.serve.webhook import Webhook, poster
from builder.serve.writer import Writer

GRACE_S = 2  # for answers that are under way when the server ends
SILENT_S = 10  # for a caller's first request
_BACKLOG = 1024
_ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the administrator chose. `base` is the URL of nodes and people; times in seconds."""

    address: str
    port: int
    base: str
    state: Path
    valid_s: float
    refetch_s: float
    certificate: Path | None = None
    key: Path | None = None
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class Boots:
    """What servers start from: files by the path of their URL, the folder of the TFTP server's
    menus, and the configuration of the dnsmasq to start, if any."""

    files: Mapping[str, str]
    menus: Menus
    dnsmasq: Path | None


class Uvicorn(uvicorn.Server):
    """uvicorn's server, which would wait at its end for everybody who watches the page, and always
    for a caller who never asks anything.
    """

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending
        self._silent: dict[tuple[Any, Any], int] = {}

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: hang up on those who have not asked anything whole for long enough,
        since they connected or since the last answer, whatever else they send."""
        if counter % 10 == 0:
            callers = [c for c in self.server_state.connections if isinstance(c, H11Protocol)]
            idle = [c for c in callers if c.cycle is None or c.cycle.response_complete]
            known = {(c, c.cycle): self._silent.get((c, c.cycle), 0) + 1 for c in idle}
            self._silent = known
            for caller in idle:
                if known[caller, caller.cycle] > SILENT_S and caller.transport is not None:
                    caller.transport.abort()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those go, then end as uvicorn does."""
        self._ending()
        await super().shutdown(sockets)


def bind(address: str, port: int) -> socket.socket:
    """A listening socket on just that address. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def check_certificate(settings: Settings) -> None:
    """Raise OSError (ssl.SSLError is one) when certificate and key cannot be used."""
    if settings.certificate is not None:
        for path in filter(None, (settings.certificate, settings.key)):
            path.open("rb").close()  # OpenSSL does not say which one is missing
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate, settings.key)


def allow(store: Store, catalog: Catalog, expires: float) -> None:
    """Let every node that the state does not know yet be installed until then."""
    with store.transaction():
        for key, served in catalog.nodes.items():
            store.allow_once(key, served.digest(1), expires)
            known = store.allowance(key)
            if known and store.whose(served.digest(known.generation)) != key:
                raise StoreError(
                    f"the state knows {key.node} by another keys folder",
                    "give the one it was served from, or another --state",
                )


def serve(
    settings: Settings,
    catalog: Catalog,
    listening: socket.socket,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    ready: Callable[[], None],
    boots: Boots | None = None,
) -> None:
    """Answer until SIGINT or SIGTERM. Everything acknowledged is in the state by then.

    Raises:
        OSError: boot menus cannot be written.
        DemoError: dnsmasq does not start.
    """
    reading, writing = Store(settings.state), Store(settings.state)
    writer = Writer(writing)
    names = {pair.id: pair.name for pair in catalog.pairs.values()}
    webhook = Webhook(poster(settings.webhook), names, warn) if settings.webhook else None
    folder, texts = Path(__file__).parent, {}
    for name, kind in _ASSETS.items():
        texts[name] = (kind, (folder / name).read_text(encoding="utf-8"))
    server = Server(
        catalog, reading, writer, settings.base, settings.refetch_s, texts, say, warn, webhook
    )
    server.ready = ready
    if settings.certificate is not None:
        server.trust = trust.initrd(*_believed(settings.certificate, catalog))
    if boots is not None:
        server.files, server.menus = boots.files, boots.menus
    # What is no request is answered as such, and worth no line; a bug is.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # The catalog stays as it is: looking through it for garbage took a fifth of a storm.
    gc.collect()
    gc.freeze()
    try:
        if boots is not None:
            boots.menus.refresh(catalog.nodes, reading.allowance, time.time(), settings.refetch_s)
        with _ended_by_term(), contextlib.suppress(KeyboardInterrupt), _with(boots, warn):
            Uvicorn(_config(settings, server), server.changes.end).run(sockets=[listening])
    finally:
        writer.close()
        reading.close()
        writing.close()


def _believed(certificate: Path, catalog: Catalog) -> Iterator[str]:
    """This server's certificate; the public ones as well where the installer is on another."""
    yield certificates(certificate)
    if any(node.images.stage2.startswith("https:") for node in catalog.nodes.values()):
        yield Path(DEFAULT_CA_BUNDLE_PATH).read_text(encoding="utf-8")


def _config(settings: Settings, server: Server) -> uvicorn.Config:
    return uvicorn.Config(
        answers.cased(server.app()),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=1000,
        backlog=_BACKLOG,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )


@contextlib.contextmanager
def _with(boots: Boots | None, warn: Callable[[str], None]) -> Iterator[None]:
    """dnsmasq, where it is wanted, as long as the block runs."""
    if boots is None or boots.dnsmasq is None:
        yield
        return
    dnsmasq = Dnsmasq(boots.dnsmasq, warn)
    dnsmasq.begin()
    try:
        yield
    finally:
        dnsmasq.end()


@contextlib.contextmanager
def _ended_by_term() -> Iterator[None]:
    """SIGTERM ends as SIGINT does: uvicorn raises what it caught again when it has ended."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
