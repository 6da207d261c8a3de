"""dnsmasq for TFTP and DHCP, for as long as the server runs."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from builder.demo.programs import DemoError, Program, start

AGAIN_S = 5.0
_START_S = 20.0
_END_S = 5.0
# What it says last once it serves, and when it cannot (src/dnsmasq.c, src/log.c of 2.90).
_UP, _DOWN = b": started, version ", "FAILED to start up"


class Dnsmasq:
    """Started by `begin`, again whenever it ends by itself, until `end`.

    `settings` is its configuration; beside it are its process id and its log.
    """

    def __init__(self, settings: Path, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self._pid_file = settings.with_name("dnsmasq.pid")
        self._log = settings.with_name("dnsmasq.log")
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, name="dnsmasq", daemon=True)
        self._argv = (
            "dnsmasq",
            "--keep-in-foreground",
            f"--conf-file={settings}",
            f"--pid-file={self._pid_file}",
            f"--dhcp-leasefile={settings.with_name('dnsmasq.leases')}",
            f"--log-facility={self._log}",
        )
        self._process: Program | None = None

    def begin(self) -> None:
        """Start it, and wait until it serves.

        One that an earlier server left behind, killed as it was, is ended first.

        Raises:
            DemoError: it is not installed, or ends at once.
            OSError: its log cannot be written.
        """
        self._end_older()
        self._log.touch()
        before = self._log.stat().st_size
        self._process = start(self._argv, self._log)
        end = time.monotonic() + _START_S
        while _UP not in self._log.read_bytes()[before:]:
            status = self._process.poll()
            if status is not None or time.monotonic() > end:
                self._process.kill()
                self._process.wait()
                self._pid_file.unlink(missing_ok=True)
                what = "does not start" if status is None else f"ended with {status}"
                raise DemoError(
                    f"dnsmasq {what}: {self._last_line()}",
                    f"look at {self._settings}, whether everybody may enter its folder, and who "
                    "else serves here: ss -lunp",
                )
            time.sleep(0.02)
        self._thread.start()

    def end(self) -> None:
        """End it and wait until it is gone."""
        with self._starting:
            self._ending.set()
            if self._process is not None:
                self._process.terminate()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def _supervise(self) -> None:
        while self._process is not None:
            status = self._process.wait()
            if self._ending.is_set():
                return
            what = f"dnsmasq ended with {status} ({self._last_line()})"
            self._say(f"{what}; next try in {AGAIN_S:.0f} s")
            self._ending.wait(AGAIN_S)
            with self._starting:
                if self._ending.is_set():
                    return
                try:
                    self._process = start(self._argv, self._log)
                except DemoError as error:
                    self._say(str(error))
                    return

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line and _DOWN not in line]
        return said[-1] if said else "it said nothing"

    def _end_older(self) -> None:
        try:
            pid = int(self._pid_file.read_text(encoding="utf-8"))
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return
        if f"--conf-file={self._settings}".encode() not in words:
            return
        os.kill(pid, signal.SIGTERM)
        for _ in range(50):
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.1)
