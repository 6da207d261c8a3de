"""Sequential speed of the shared file system, and how long a single small write waits meanwhile.

The article's readers saw writes stand still for half a minute; what one node's stream does to
another writer is therefore measured, not only the stream.
"""

import mmap
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20
SMALL = 4096  # bytes of one synchronous write
MIB = 1 << 20


@dataclass(frozen=True)
class Streaming:
    """MiB/s written (to stable storage) and read, and milliseconds of the small writes between."""

    write_mib_s: float
    read_mib_s: float
    small_writes: int
    small_p99_ms: float
    small_longest_ms: float


def measure(folder: Path, name: str, *, seconds: float, most_mib: int) -> Streaming:
    """Write a stream for `seconds` or `most_mib` MiB, whatever ends first, and read it back.

    Leaves nothing behind. Raises OSError, as when the file system is full.
    """
    stream, small = folder / f"{name}.stream", folder / f"{name}.small"
    waits = _SmallWrites(small)
    try:
        waits.start()
        written, took = _write(stream, seconds, most_mib)
        waits.stop()
        reading = _read(stream)
    finally:
        waits.stop()
        for path in (stream, small):
            path.unlink(missing_ok=True)
    return Streaming(
        write_mib_s=written / MIB / took,
        read_mib_s=written / MIB / reading,
        small_writes=len(waits.durations),
        small_p99_ms=percentile(waits.durations, 99) * 1000,
        small_longest_ms=max(waits.durations, default=0.0) * 1000,
    )


def percentile(values: "list[float]", percent: int) -> float:
    """The smallest value that at least `percent` of all do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0


class _SmallWrites:
    """A thread that writes 4 KiB synchronously, again and again, and notes how long each took."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.durations: list[float] = []
        self._error: list[OSError] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; raises what it died of."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._error:
            raise self._error.pop()

    def _run(self) -> None:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_DSYNC, 0o600)
            try:
                while not self._ended.is_set():
                    begin = time.monotonic()
                    os.pwrite(handle, bytes(SMALL), 0)
                    self.durations.append(time.monotonic() - begin)
            finally:
                os.close(handle)
        except OSError as error:
            self._error.append(error)


def _write(path: Path, seconds: float, most_mib: int) -> "tuple[int, float]":
    block = os.urandom(BLOCK)  # nothing on the way may find it easy
    written = 0
    begin = time.monotonic()
    with path.open("wb", buffering=0) as out:
        while written < most_mib * MIB and time.monotonic() - begin < seconds:
            written += out.write(block)
        os.fsync(out.fileno())
    return written, time.monotonic() - begin


def _read(path: Path) -> float:
    """Seconds of reading it all from the disk, not from memory (posix_fadvise(2))."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        buffer = mmap.mmap(-1, BLOCK)
        begin = time.monotonic()
        while os.readv(handle, [buffer]):
            pass
        return max(time.monotonic() - begin, 1e-9)
    finally:
        os.close(handle)
