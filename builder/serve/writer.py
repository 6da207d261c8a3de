"""One thread that writes: what waits together is committed together, then each is answered.

A storm of events costs a few commits instead of thousands, and the event loop never waits for a
disk. An answer that was given was committed before.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from builder.serve.store import Store

T = TypeVar("T")
_MOST_AT_ONCE = 256
_Job = tuple[Callable[[Store], Any], "Future[Any]"]


class Writer:
    """Runs changes of the store in their order of arrival."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def do(self, change: Callable[[Store], T]) -> T:
        """What `change` returns, once it is on the disk. Raises what the store raises."""
        future: Future[T] = Future()
        self._jobs.put((change, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what was asked for, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs, ended = [job], False
            while len(jobs) < _MOST_AT_ONCE and not ended:
                try:
                    another = self._jobs.get_nowait()
                except queue.Empty:
                    break
                ended = another is None
                jobs += [another] if another is not None else []
            self._commit(jobs)
            if ended:
                return

    def _commit(self, jobs: list[_Job]) -> None:
        """All of them, or each by itself where one cannot be done.

        Whoever went away meanwhile is not answered, but was heard.
        """
        answers: list[tuple[Future[Any], Any]] = []
        try:
            with self._store.transaction():
                for change, future in jobs:
                    answers.append((future, change(self._store)))
        except Exception as error:  # noqa: BLE001 - its caller gets it
            if len(jobs) > 1:
                for job in jobs:
                    self._commit([job])
            elif jobs[0][1].set_running_or_notify_cancel():
                jobs[0][1].set_exception(error)
            return
        for future, answer in answers:
            if future.set_running_or_notify_cancel():
                future.set_result(answer)
