"""The routes: each looks things up, asks the store, and answers; nothing is made from a request.

What needs no token is only what a boot loader asks by its MAC, which can carry none.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from builder.plan import bootanswer, tokens
from builder.plan.bootanswer import Answer
from builder.serve import admission, answers, page, readings, trust
from builder.serve.answers import UNKNOWN
from builder.serve.catalog import Catalog, ServedPair
from builder.serve.changes import MOST_WATCHERS, Changes, again_and_again, look_elsewhere
from builder.serve.events import LARGEST_BYTES, Event, EventError, parse
from builder.serve.menus import Menus
from builder.serve.stages import Way, way
from builder.serve.store import Key, Store
from builder.serve.webhook import Webhook
from builder.serve.writer import Writer

MENUS_S = 5.0  # how late a loader may hear that the time to install is over
BODY_S = 10.0  # a body that takes longer is not waited for
_COUNTERS = ("kickstarts", "kickstarts_refused", "events", "events_refused")
_WORDED = {sqlite3.Error: answers.no_disk, 404: answers.no_route, 405: answers.no_route}
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Server:
    """What the routes work with. `base` is the URL that nodes reach it by, without a last slash."""

    catalog: Catalog
    store: Store  # to read from; the writer has one of its own
    writer: Writer
    base: str
    refetch_s: float
    assets: dict[str, tuple[str, str]]  # name -> (media type, text)
    say: Callable[[str], None]  # what happens
    warn: Callable[[str], None]  # what goes wrong
    webhook: Webhook | None = None
    files: Mapping[str, str] = field(default_factory=dict)  # path in a URL -> file
    menus: Menus | None = None
    trust: bytes = b""  # what the installer is to believe, as an initrd; with HTTPS
    ready: Callable[[], None] = lambda: None  # called once everything is set up
    now: Callable[[], float] = time.time
    changes: Changes = field(default_factory=Changes)
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_COUNTERS, 0)))

    def app(self) -> Starlette:
        """The application; every route is in this one table."""
        one, all_pairs = "/see/{token}/pair/{pair}", "/see/{token}"
        routes = [
            Route("/ks/{token}", self.kickstart, methods=["GET", "HEAD"]),
            Route("/events", self.events, methods=["POST"]),
            Route("/boot/{mac}/ipxe", self.boot, methods=["GET"], name="ipxe"),
            Route("/boot/{mac}/grub.cfg", self.boot, methods=["GET"], name="grub"),
            Route(f"{all_pairs}/", self.seen(self.overview), methods=["GET"]),
            Route(f"{all_pairs}/live", self.seen(self.live), methods=["GET"]),
            Route(f"{all_pairs}/status", self.seen(self.status), methods=["GET"]),
            Route(f"{all_pairs}/metrics", self.seen(self.metrics), methods=["GET"]),
            Route(all_pairs + "/{asset}", self.seen(self.asset), methods=["GET"]),
            Route(one, self.seen(self.pair), methods=["GET"]),
            Route(f"{one}/live", self.seen(self.live), methods=["GET"]),
        ]
        routes += [Route(f"/{trust.PATH}", answers.fixed(self.trust))] if self.trust else []
        if self.files:
            routes += [
                Route("/ipxe/{mac}.ipxe", self.boot, methods=["GET"], name="ipxe"),
                Route("/EFI/BOOT/grub.cfg-01-{mac}", self.boot, methods=["GET"], name="grub"),
                Route("/{path:path}", self.file, methods=["GET", "HEAD"]),
            ]
        app = Starlette(routes=routes, lifespan=self.alive, exception_handlers=_WORDED)
        app.router.redirect_slashes = False  # it would repeat the request's Host
        return app

    @contextlib.asynccontextmanager
    async def alive(self, _: Starlette) -> AsyncIterator[None]:
        """Write, look for what others wrote, and tell the webhook, as long as the server runs."""
        everybody = list(self.catalog.pairs)
        jobs: list[Callable[[], Awaitable[None]]] = [
            lambda: look_elsewhere(self.writer, lambda: self.changes.note(everybody))
        ]
        if self.webhook:
            jobs.append(partial(self.webhook.deliver, self.store, self.writer))
        jobs += [self.renew_menus] if self.menus else []
        tasks = [asyncio.create_task(again_and_again(job, self.warn)) for job in jobs]
        self.ready()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def renew_menus(self) -> None:
        """Keep what boot loaders find by TFTP true."""
        while True:
            await asyncio.sleep(MENUS_S)
            self._menus_of(self.catalog.nodes)

    def _menus_of(self, keys: Iterable[Key]) -> None:
        if self.menus is None:
            return
        try:
            self.menus.refresh(keys, self.store.allowance, self.now(), self.refetch_s)
        except OSError as error:
            self.warn(f"boot menus cannot be written: {error.filename}: {error.strerror}")

    # --- nodes

    async def file(self, request: Request) -> Response:
        """A file of the installation: the same for everybody, nothing secret in it."""
        name = self.files.get(request.path_params["path"])
        if name is None:
            return answers.refused(404, UNKNOWN)
        return FileResponse(name, headers=answers.HEADERS)

    async def kickstart(self, request: Request) -> Response:
        """The kickstart of the node whose token it is, to that node's installer, for a while."""
        key = self.store.whose(tokens.digest(request.path_params["token"]))
        served = self.catalog.nodes.get(key) if key else None
        if key is None or served is None:
            return self._refused_kickstart(404, UNKNOWN)
        again = f"ksbuild reinstall {self.catalog.pairs[key.pair].file} {key.node}"
        now, allowance = self.now(), self.store.allowance(key)
        if allowance is None:
            return self._refused_kickstart(404, UNKNOWN)
        if why := admission.other_hardware(served.hardware, request.headers):
            await self._refuse(key, allowance, "kickstart", why, "look at node.uplink.ports")
            return self._refused_kickstart(403, why)
        closed = admission.closed(allowance, now, self.refetch_s)
        if request.method == "HEAD":
            if closed:
                return answers.refused(410, closed, again)
            return answers.Pieces(served.kickstart, body=False)
        if closed or allowance.fetched is None:
            fetch = partial(Store.fetch, key=key, now=now, refetch_s=self.refetch_s, again=again)
            if why := await self._hear(key, fetch):
                return self._refused_kickstart(410, why, again)
        self.counts["kickstarts"] += 1
        self.say(f"{key.node}: kickstart sent")
        return answers.Pieces(served.kickstart)

    def _refused_kickstart(self, status: int, why: str, then: str = "") -> Response:
        self.counts["kickstarts_refused"] += 1
        return answers.refused(status, why, then)

    async def boot(self, request: Request) -> Response:
        """What a boot loader is to do, by the MAC it says it has."""
        mac = request.path_params["mac"].upper().replace("-", ":")
        served = self.catalog.by_mac.get(mac)
        if served is None:
            answer = bootanswer.refuse(
                "no node of the served pairs has this port",
                "add it to node.uplink.ports of a profile, or serve that profile as well",
            )
        else:
            answer = await self._boot(served.key)
        return answers.text(getattr(answer, request.scope["route"].name))

    async def _boot(self, key: Key) -> Answer:
        served, allowance = self.catalog.nodes[key], self.store.allowance(key)
        if allowance is None:
            return bootanswer.refuse("this node is not served", "start ksbuild serve anew")
        if allowance.installed is not None:
            return bootanswer.local(key.node)
        if why := admission.closed(allowance, self.now(), self.refetch_s):
            then = f"ksbuild reinstall {self.catalog.pairs[key.pair].file} {key.node}"
            await self._refuse(key, allowance, "installer", why, then)
            return bootanswer.refuse(f"{key.node} is not to be installed: {why}", then)
        event = Event("installer", "started", "its boot loader was told to install")
        await self._hear(key, lambda store: store.say(key, event, self.now()))
        return served.install(self.base, allowance.generation)

    async def events(self, request: Request) -> Response:
        """What a node tells of itself, by its own token and of itself alone."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        key = self.catalog.by_progress.get(tokens.digest(token)) if kind == "Bearer" else None
        if key is None:
            return self._refused_event(401, "this token opens nothing here")
        body = await _body(request)
        if body is None:
            return self._refused_event(413, f"more than {LARGEST_BYTES} bytes, or too slow")
        try:
            event = parse(body)
        except EventError as error:
            return self._refused_event(400, f"no event: {error}")
        await self._hear(key, lambda store: store.hear(key, event, self.now()))
        if event.ends_installation:
            self._menus_of([key])
        self.counts["events"] += 1
        self.say(f"{key.node}: {event.stage}: {event.event}")
        return answers.text("", 204)

    def _refused_event(self, status: int, why: str) -> Response:
        self.counts["events_refused"] += 1
        return answers.refused(status, why)

    async def _refuse(
        self, key: Key, allowance: admission.Allowance, stage: str, why: str, then: str
    ) -> None:
        """Have the page say why not; of a node that is installed it stopped nothing."""
        if allowance.installed is None:
            event = Event(stage, "refused", f"{why}; next: {then}")
            await self._hear(key, lambda store: store.say(key, event, self.now()))

    async def _hear(self, key: Key, change: Callable[[Store], T]) -> T:
        done = await self.writer.do(change)
        self.changes.note([key.pair])
        if self.webhook:
            self.webhook.wake()
        return done

    # --- people

    def seen(self, handler: Handler) -> Handler:
        """The same for whoever has the page's token; for anybody else there is nothing."""

        async def guarded(request: Request) -> Response:
            if tokens.digest(request.path_params["token"]) != self.catalog.page:
                return answers.refused(404, UNKNOWN)
            return await handler(request)

        return guarded

    async def overview(self, _: Request) -> Response:
        """All pairs; of a single one all there is."""
        pairs = list(self.catalog.pairs.values())
        if len(pairs) == 1:
            return self._page(pairs[0], base="", alone=True)
        rows = [(pair.id, pair.name, self._ways(pair)) for pair in pairs]
        return answers.text(page.overview(rows, self.now()), kind="text/html")

    async def pair(self, request: Request) -> Response:
        """Both nodes of one pair."""
        pair = self.catalog.pairs.get(request.path_params["pair"])
        if pair is None:
            return answers.refused(404, UNKNOWN)
        return self._page(pair, base="../", alone=len(self.catalog.pairs) == 1)

    def _page(self, pair: ServedPair, *, base: str, alone: bool) -> Response:
        html = page.pair_page(pair.name, self._ways(pair), self.now(), base=base, alone=alone)
        return answers.text(html, kind="text/html")

    async def asset(self, request: Request) -> Response:
        """The style and the script, by name."""
        found = self.assets.get(request.path_params["asset"])
        return answers.text(found[1], kind=found[0]) if found else answers.refused(404, UNKNOWN)

    async def status(self, _: Request) -> Response:
        """Everything as JSON."""
        return answers.text(readings.status(self._all()), kind="application/json")

    async def metrics(self, _: Request) -> Response:
        """Everything for Prometheus."""
        return answers.text(readings.metrics(self._all(), self.counts))

    async def live(self, request: Request) -> Response:
        """Server-sent events: something changed, look again."""
        pair = request.path_params.get("pair")
        if pair is not None and pair not in self.catalog.pairs:
            return answers.refused(404, UNKNOWN)
        if self.changes.watchers >= MOST_WATCHERS:
            return answers.refused(503, "too many watch already", "reload the page")
        watched = self.changes.watch(pair)
        return StreamingResponse(watched, headers=answers.HEADERS, media_type="text/event-stream")

    def _all(self) -> list[tuple[ServedPair, Sequence[Way]]]:
        return [(pair, self._ways(pair)) for pair in self.catalog.pairs.values()]

    def _ways(self, pair: ServedPair) -> list[Way]:
        said = self.store.stages(pair.id)
        return [way(node, said.get(node, {})) for node in pair.nodes]


async def _body(request: Request) -> bytes | None:
    """The body; None when it is larger than an event may be, or does not come."""
    taken = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                taken += chunk
                if len(taken) > LARGEST_BYTES:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return bytes(taken)
