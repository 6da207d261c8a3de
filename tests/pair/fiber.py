"""Programs of the played world, one of which runs at a time, until it waits or was cut off.

Threads that hand one baton round: what a program does between two ticks nobody interrupts, so a run
is the same each time, and can be cut short before any effect.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.pair.disk import Cut


class Fiber:
    """A program: runs when resumed, and gives the baton back when it sleeps or ends."""

    running: Fiber | None = None  # whose effects are being seen

    def __init__(self, owner: str, body: Callable[[], object]) -> None:
        self.owner = owner
        self.wakes_at = 0.0
        self.left: int | None = None  # ticks until it hands the baton back unasked
        self.fuse: int | None = None  # ticks until on_fuse()
        self.on_fuse: Callable[[], None] = self.cut
        self.ticks = 0
        self.ended = False
        self.dead = False  # every effect it still attempts is none
        self.error: BaseException | None = None
        self._body = body
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = False

    @classmethod
    def here(cls) -> Fiber | None:
        """The one whose thread this is. A thread that another test has left over is in no world."""
        running = cls.running
        return running if running and threading.current_thread() is running._thread else None

    def resume(self, ticks: int | None = None) -> None:
        """Let it run, for so many ticks at most; returns when it waits or has ended."""
        outer, Fiber.running = Fiber.running, self
        self.left = ticks
        if not self._started:
            self._started = True
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()
        Fiber.running = outer

    def cut(self) -> None:
        """From now on it has no effect on anything."""
        self.dead = True

    def unwind(self) -> None:
        """See a dead one off."""
        assert self.dead
        while self._started and not self.ended:
            self.resume()

    def tick(self) -> None:
        """An effect comes next. Raises Cut when it never happens."""
        if self.dead:
            raise Cut
        self.ticks += 1
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                self.on_fuse()
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self._hand_back()
        if self.dead:
            raise Cut

    def sleep(self, until: float) -> None:
        """Wait until the world's clock says so."""
        if self.dead:
            raise Cut
        self.wakes_at = until
        self._hand_back()
        if self.dead:
            raise Cut

    def _hand_back(self) -> None:
        self._back.release()
        self._go.acquire()

    def _run(self) -> None:
        try:
            self._body()
        except Cut:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where it is seen off
            self.error = error
        self.ended = True
        self._back.release()
