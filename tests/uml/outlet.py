"""The power of one server: what its BMC, or a hand at the plug, switches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.uml.running import MachineError, Running


class Outlet:
    """Each switching on is another boot of the same server, with a console of its own."""

    def __init__(self, name: str, boot: Callable[[int], Running | None]) -> None:
        """boot(n) starts the server for the n-th time, counted from 1.

        None: it has power, and its firmware finds nothing to start.
        """
        self._name = name
        self._boot = boot
        self._lock = threading.RLock()
        self._idle = False
        self.machines: list[Running] = []

    @property
    def machine(self) -> Running:
        """The server as it was started last; IndexError before the first time."""
        return self.machines[-1]

    def is_on(self) -> bool:
        """Whether the server has power."""
        with self._lock:
            return self._idle or (bool(self.machines) and self.machine.alive)

    def switch_on(self) -> None:
        """Give it power; nothing happens when it has."""
        with self._lock:
            if self.is_on():
                return
            machine = self._boot(len(self.machines) + 1)
            self._idle = machine is None
            if machine is not None:
                self.machines.append(machine)

    def switch_off(self) -> None:
        """Cut its power; nothing happens when it has none."""
        with self._lock:
            if self.is_on() and not self._idle:
                self.machine.power_cut()
            self._idle = False

    def shut_down(self) -> None:
        """Stop it in an orderly way and leave it off."""
        self.machine.shut_down()

    def console_text(self) -> str:
        """What the consoles of all boots showed, one after another."""
        return "".join(machine.console_text() for machine in list(self.machines))

    def wait_console(self, text: str, timeout: float, *, after: int = 0) -> None:
        """Wait until the consoles of all boots show text more than `after` times.

        A server that is off meanwhile is waited for. Raises MachineError after timeout seconds.
        """
        end = time.monotonic() + timeout
        while self.console_text().count(text) <= after:
            if time.monotonic() > end:
                tail = "\n".join(self.console_text().splitlines()[-40:])
                raise MachineError(f"{self._name}: no {text!r} within {timeout:.0f} s:\n{tail}")
            time.sleep(0.2)
