"""What finished and what failed, posted as JSON to one URL; kept until it was taken."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import requests

from builder.serve.store import Notice, Store
from builder.serve.writer import Writer

SCHEMA = "ksbuild/webhook/1"
TIMEOUT_S, FIRST_S, LONGEST_S = 10.0, 2.0, 300.0
KEPT_S = 24 * 3600.0  # what nobody took by then is old news


@dataclass
class Webhook:
    """Posts notices again and again, each at least once, in order as far as they are taken."""

    post: Callable[[bytes], None]  # raises OSError when it was not taken
    names: dict[str, str]  # pair's id -> its name
    warn: Callable[[str], None]
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """There may be something to tell."""
        self._news.set()

    async def deliver(self, store: Store, writer: Writer) -> None:
        """Tell everything there is, for ever."""
        pause_s = FIRST_S
        while True:
            self._news.clear()
            notices = store.notices()
            failures = [await self._take(notice, writer) for notice in notices]
            for failure in filter(None, failures):
                self.warn(f"webhook: {failure}; again in {pause_s:.0f} s")
            if any(failures):
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_S, 2 * pause_s)
                continue
            pause_s = FIRST_S
            if not notices:
                await self._news.wait()

    async def _take(self, notice: Notice, writer: Writer) -> OSError | None:
        """Tell one and strike it off; why that failed, which holds back no other."""
        try:
            await self._tell(notice)
        except OSError as error:
            return error
        await writer.do(partial(Store.told, notice=notice.id))
        return None

    async def _tell(self, notice: Notice) -> None:
        if time.time() - notice.at > KEPT_S:
            return
        said = json.loads(notice.body)
        body = {"schema": SCHEMA, "at": notice.at, **said, "pair": self.names.get(said["pair"])}
        await asyncio.to_thread(self.post, json.dumps(body, sort_keys=True).encode())


def poster(url: str) -> Callable[[bytes], None]:
    """Posts to `url` without following it elsewhere. What goes wrong names no part of the URL."""

    def post(body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        try:
            answer = requests.post(
                url, body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, stream=True
            )
        except requests.RequestException as error:
            raise OSError(type(error).__name__) from None
        answer.close()
        if not answer.ok or answer.is_redirect:
            raise OSError(f"status {answer.status_code}")

    return post
