"""POSIX locks on the shared file system: how many a second, and whether they hold on both nodes.

In the spirit of ping_pong (ctdb): a ring of bytes is locked one after another, the next before the
last is let go. Under each lock a counter in the file goes up by one, so a lock that two nodes hold
at once, or a page that one of them did not see changed, shows as a lost count.
"""

import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

RING = 3  # locks: one more than there are nodes, as ping_pong's manual asks
_COUNT = struct.Struct("<Q")
_COUNTERS_AT = 4096  # bytes; the locks are on the bytes before


@dataclass(frozen=True)
class Locking:
    """What one node did: locks taken, and seconds it took."""

    locks: int
    seconds: float

    @property
    def rate(self) -> float:
        """Locks a second."""
        return self.locks / self.seconds if self.seconds else 0.0


def prepare(path: Path) -> None:
    """Make the file with every counter at nought, durable before anybody locks it."""
    with path.open("wb") as out:
        out.write(bytes(_COUNTERS_AT + RING * _COUNT.size))
        out.flush()
        os.fsync(out.fileno())


def measure(path: Path, seconds: float) -> Locking:
    """Go round the ring for that long. Raises OSError where the file system has no such locks."""
    handle = os.open(path, os.O_RDWR)
    locks, place = 0, 0
    begin = time.monotonic()
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX, 1, place)
        while time.monotonic() - begin < seconds:
            following = (place + 1) % RING
            _count(handle, place)
            locks += 1
            fcntl.lockf(handle, fcntl.LOCK_EX, 1, following)
            fcntl.lockf(handle, fcntl.LOCK_UN, 1, place)
            place = following
    finally:
        fcntl.lockf(handle, fcntl.LOCK_UN)
        os.close(handle)
    return Locking(locks, time.monotonic() - begin)


def counted(path: Path) -> int:
    """The sum of all counters: what every node together must have counted."""
    with path.open("rb") as file:
        file.seek(_COUNTERS_AT)
        text = file.read(RING * _COUNT.size)
    return sum(count for (count,) in _COUNT.iter_unpack(text))


def _count(handle: int, place: int) -> None:
    where = _COUNTERS_AT + place * _COUNT.size
    (count,) = _COUNT.unpack(os.pread(handle, _COUNT.size, where))
    os.pwrite(handle, _COUNT.pack(count + 1), where)
