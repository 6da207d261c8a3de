"""A server's BMC: real IPMI 2.0 on the lab's network, whose chassis control is the lab's power.

Run as a program it is the BMC itself (pyghmi), inside the lab's namespace; it asks the test's
process for the power by a line on standard output and reads the answer from standard input.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tests.uml.lab import Lab

CHECKOUT = Path(__file__).resolve().parents[2]


class Power(Protocol):
    """What a BMC switches."""

    def is_on(self) -> bool:
        """Whether the server has power."""

    def switch_on(self) -> None:
        """Give it power; nothing happens when it has."""

    def switch_off(self) -> None:
        """Cut its power; nothing happens when it has none."""


class Bmc:
    """A BMC that answers until it is closed; `log` has (seconds, what) of all it was told."""

    def __init__(
        self, lab: Lab, power: Power, *, address: str, user: str, password: str, guid: uuid.UUID
    ) -> None:
        self._lab, self._power = lab, power
        self.log: list[tuple[float, str]] = []
        self._process = subprocess.Popen(
            lab.inside(sys.executable, "-m", "tests.uml.bmc", address, user, str(guid)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            start_new_session=True,  # Ctrl-C is for the lab, which then closes this
        )
        lab.adopt(self, self._process.pid)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{password}\n")
        self._process.stdin.flush()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def power_cut(self) -> None:
        """Let it die, as a BMC does that loses its own power. Idempotent."""
        self._process.kill()
        self._process.wait()
        self._lab.release(self, self._process.pid)

    def close(self) -> None:
        """The same, and give its pipes up."""
        self.power_cut()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def told(self, what: str) -> int:
        """How often it was told this: "on", "off" or "disk"."""
        return [said for _, said in self.log].count(what)

    def _serve(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word = line.strip()
            if word != "status":
                self.log.append((time.monotonic(), word))
            if word == "on":
                self._power.switch_on()
            elif word == "off":
                self._power.switch_off()
            with suppress(BrokenPipeError):  # it was closed while it asked
                self._process.stdin.write("on\n" if self._power.is_on() else "off\n")
                self._process.stdin.flush()


def serve(address: str, user: str, guid: uuid.UUID) -> None:
    """Be the BMC; the account's password is the first line of standard input."""
    from pyghmi.ipmi import bmc

    def ask(word: str) -> str:
        print(word, flush=True)
        return sys.stdin.readline().strip()

    class Chassis(bmc.Bmc):  # type: ignore[misc]
        def get_system_guid(self) -> uuid.UUID:
            return guid

        def get_power_state(self) -> str:
            return ask("status")

        def power_off(self) -> None:
            ask("off")

        def power_on(self) -> None:
            ask("on")

        def set_boot_device(self, bootdevice: str) -> None:
            self.boot_device = bootdevice
            ask("disk" if bootdevice == "hd" else bootdevice)

        def get_boot_device(self) -> str:
            return getattr(self, "boot_device", "default")

    password = sys.stdin.readline().strip()
    Chassis({user: password}, address=f"::ffff:{address}", bmcuuid=guid).listen()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], uuid.UUID(sys.argv[3]))
