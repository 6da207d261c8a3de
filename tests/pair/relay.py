"""A relay between two agents: what it does to each of their connections, a test says."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

HOSTS = ("127.0.7.1", "127.0.7.2")  # as tests/firstboot/conftest.py has them
GARBAGE = b"\x00\xff\x17\x03\x03\x00\x10garbage"
FOREVER_S = 60.0


@dataclass(frozen=True)
class Fate:
    """What becomes of a connection. Positions are bytes passed, both directions together.

    Silent: it stays open, and nothing more arrives. `late_s`: the answers come so much later.
    """

    cut_at: int | None = None
    reset: bool = False
    silent_at: int | None = None
    garbage_at: int | None = None
    twice_at: int | None = None
    delay_s: float = 0.0
    late_s: float = 0.0


@dataclass
class Carried:
    """One connection: whom it was for, and what each side said."""

    host: str
    fate: Fate
    said: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)
    passed: int = 0


class Relay:
    """Takes connections to each node on one port, carries them to another, until it is closed."""

    def __init__(self, taken: int, target: int, fate: Callable[[int], Fate]) -> None:
        self.fate = fate
        self.carried: list[Carried] = []
        self._target = target
        self._lock = threading.Lock()
        self._listeners = [socket.create_server((host, taken)) for host in HOSTS]
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        host = listener.getsockname()[0]
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                carried = Carried(host, self.fate(len(self.carried)))
                self.carried.append(carried)
            threading.Thread(target=self._carry, args=(carried, caller), daemon=True).start()

    def _carry(self, carried: Carried, caller: socket.socket) -> None:
        other = HOSTS[1 - HOSTS.index(carried.host)]
        try:
            called = socket.create_connection(
                (carried.host, self._target), timeout=FOREVER_S, source_address=(other, 0)
            )
        except OSError:  # the node is down
            caller.close()
            return
        with caller, called:
            lock = threading.Lock()
            back = threading.Thread(target=_pump, args=(carried, lock, called, caller), daemon=True)
            back.start()
            _pump(carried, lock, caller, called)
            back.join(FOREVER_S)


def _pump(
    carried: Carried, lock: threading.Lock, inward: socket.socket, outward: socket.socket
) -> None:
    """Carry one direction; what happens to the connection happens to both."""
    fate, asks = carried.fate, outward.getsockname()[0] != carried.host
    try:
        while chunk := inward.recv(65536):
            time.sleep(fate.delay_s + (0.0 if asks else fate.late_s))
            with lock:
                (carried.said if asks else carried.answered).extend(chunk)
                start, carried.passed = carried.passed, carried.passed + len(chunk)
                outward.sendall(_bent(fate, start, chunk))
                if fate.cut_at is not None and carried.passed >= fate.cut_at:
                    raise ConnectionAbortedError
        with suppress(OSError):
            outward.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (inward, outward):
            if fate.reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _bent(fate: Fate, start: int, chunk: bytes) -> bytes:
    """What leaves the relay of a chunk whose first byte has that position."""
    for end in (fate.cut_at, fate.silent_at):
        if end is not None:
            return chunk[: max(0, end - start)]
    if fate.garbage_at is not None and start <= fate.garbage_at < start + len(chunk):
        at = fate.garbage_at - start
        return chunk[:at] + GARBAGE + chunk[at:]
    if fate.twice_at is not None and start <= fate.twice_at < start + len(chunk):
        return chunk + chunk
    return chunk
