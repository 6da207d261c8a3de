"""What every machine of the lab can do, whichever kind it is: watched, waited for, cut off.

The kinds are `machine.Machine` (User-mode Linux) and `tests.qemu.machine.Machine`. They differ in
how they are started, in what presses their power button, and in how a cable shows at its ends: only
QEMU's cards lose their carrier.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.uml.lab import Lab

_POLL_SECONDS = 0.05


class MachineError(Exception):
    """A machine did not do what was asked; the text carries the end of its console."""


class Running(ABC):
    """A machine: started at once, its power cut when the Lab or the context ends.

    `folder` holds its sockets: new_folder(), which the caller made, and it goes with the machine.
    """

    def __init__(
        self,
        lab: Lab,
        name: str,
        argv: Sequence[str],
        *,
        console: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the machine's process; what it prints is its console, a file written anew."""
        self.name, self.console = name, console
        self._lab = lab
        self.folder = lab.folder / name
        with console.open("wb") as out:
            self._process = subprocess.Popen(
                lab.inside(*argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        lab.adopt(self, self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.power_cut()

    @abstractmethod
    def shut_down(self, timeout: float = 120) -> None:
        """Have it stop in an orderly way; MachineError when it has not after timeout seconds."""

    @property
    def pid(self) -> int:
        """Process id on the host, also of the process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the machine has power."""
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """0 after a power-off by the machine itself, negative after a cut, None while alive."""
        return self._process.poll()

    def console_text(self) -> str:
        """Return all that the console showed so far."""
        return self.console.read_text(errors="replace")

    def wait_console(self, text: str, timeout: float) -> None:
        """Wait until the console shows text; MachineError after timeout seconds or at its end."""
        self._wait(lambda: text in self.console_text(), timeout, f"no {text!r} on the console")

    def wait_off(self, timeout: float) -> int:
        """Wait for the machine to power itself off; MachineError after timeout seconds."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._error(f"still on after {timeout:.0f} s") from None
        self._ended()
        return status

    def power_cut(self) -> None:
        """Pull the plug: what the guest had not handed to its disk is lost. Idempotent."""
        if self.alive:
            # The launcher became the machine and leads the group, all its children included.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._ended()

    def _wait(self, condition: Callable[[], bool], timeout: float, complaint: str) -> None:
        end = time.monotonic() + timeout
        while not condition():
            if not self.alive and not condition():
                raise self._error(f"{complaint}: it ended with {self.exit_status}")
            if time.monotonic() > end:
                raise self._error(f"{complaint} within {timeout:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _error(self, complaint: str) -> MachineError:
        tail = "\n".join(self.console_text().splitlines()[-25:])
        return MachineError(f"{self.name}: {complaint}; its console ends:\n{tail}")

    def _ended(self) -> None:
        self._lab.release(self, self._process.pid)
        shutil.rmtree(self.folder, ignore_errors=True)


def new_folder(lab: Lab, name: str) -> Path:
    """The folder for the sockets of a machine of this name, empty."""
    folder = lab.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
