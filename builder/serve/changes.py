"""Who watches the page is woken when something changed, at most once a second."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable

from builder.serve.store import Store
from builder.serve.writer import Writer

QUIET_S, BREATH_S, LOOK_S, AGAIN_S = 15.0, 1.0, 1.0, 5.0
MOST_WATCHERS = 64


class Changes:
    """A count of changes per pair, and those who wait for the next one."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._all = 0
        self._news = asyncio.Event()
        self._ended = False
        self.watchers = 0

    def of(self, pair: str | None) -> int:
        """How often that pair, or with None any, has changed."""
        return self._all if pair is None else self._counts.get(pair, 0)

    def note(self, pairs: list[str]) -> None:
        """Something of these pairs has changed."""
        self._all += 1
        for pair in pairs:
            self._counts[pair] = self._counts.get(pair, 0) + 1
        self._news.set()
        self._news = asyncio.Event()

    def end(self) -> None:
        """Let everybody go who watches: the server ends."""
        self._ended = True
        self._news.set()

    async def watch(self, pair: str | None) -> AsyncIterator[bytes]:
        """Server-sent events: a change, or every quarter of a minute that nothing has."""
        self.watchers += 1
        try:
            seen = -1
            while not self._ended:
                while self.of(pair) == seen and not self._ended:
                    try:
                        await asyncio.wait_for(self._news.wait(), QUIET_S)
                    except TimeoutError:
                        yield b": still here\n\n"
                seen = self.of(pair)
                yield b"event: change\ndata: %d\n\n" % seen
                await asyncio.sleep(BREATH_S)
        finally:
            self.watchers -= 1


async def look_elsewhere(writer: Writer, note: Callable[[], None]) -> None:
    """Call `note` when another process, such as ksbuild reinstall, has written to the store."""
    seen = await writer.do(Store.changed_elsewhere)
    while True:
        await asyncio.sleep(LOOK_S)
        if (now := await writer.do(Store.changed_elsewhere)) != seen:
            seen = now
            note()


async def again_and_again(job: Callable[[], Awaitable[None]], warn: Callable[[str], None]) -> None:
    """Do what never ends, and begin anew after each time that the state could not be used."""
    while True:
        try:
            await job()
        except sqlite3.Error as error:
            warn(f"the state cannot be used: {error}; again in {AGAIN_S:.0f} s")
            await asyncio.sleep(AGAIN_S)
