"""Write a newc cpio archive, the kernel's initramfs format, as a pure function.

Format: Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's tree.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One file: its mode with type bits, its content (a link's target), a device's numbers."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(path: str, mode: int = 0o755) -> Entry:
    """Return a folder."""
    return Entry(path, stat.S_IFDIR | mode)


def link(path: str, target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Iterable[Entry], when: int) -> bytes:
    """Return the archive, everything owned by root and dated `when` (seconds since 1970)."""
    chunks = []
    number = 0
    for number, entry in enumerate(entries, 1):
        chunks += _record(entry, number, when)
    chunks += _record(Entry("TRAILER!!!", 0), number + 1, 0)
    return b"".join(chunks)


def _record(entry: Entry, number: int, when: int) -> list[bytes]:
    name = entry.path.encode() + b"\0"
    fields = (
        number,
        entry.mode,
        0,
        0,
        1,
        when,
        len(entry.content),
        0,
        0,
        *entry.device,
        len(name),
        0,
    )
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return [_padded(head), _padded(entry.content)]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
