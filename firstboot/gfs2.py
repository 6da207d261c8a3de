"""When a GFS2 was last written to, as its journals tell it. Reads only, also while it is mounted.

Layouts are those of linux/gfs2_ondisk.h. Since Linux 4.17 each log header carries the time at which
it was written; those of mkfs.gfs2 carry none. A mounted file system writes one with every flush of
its log, so within half a minute of any change (mount option commit=).
"""

import struct
from collections.abc import Iterator
from typing import Callable, Optional

Read = Callable[[int, int], bytes]  # offset and length, both in bytes

SUPERBLOCK = 65536
MAGIC, IS_SUPERBLOCK, IS_DINODE, IS_INDIRECT, IS_LOG_HEADER = 0x01161970, 1, 4, 5, 8
_HEADER, _DINODE, _ENTRY = 24, 232, 40  # bytes of gfs2_meta_header, gfs2_dinode, gfs2_dirent
MOST_BLOCKS = 1024  # read at once


class NotGfs2(ValueError):
    """What was read is no GFS2, or none that makes sense."""


def last_write(read: Read) -> Optional[float]:
    """Seconds since 1970 of the newest log header; None where no node ever wrote one.

    Raises NotGfs2, and what `read` raises.
    """
    try:
        head = _metadata(read(SUPERBLOCK, 512), IS_SUPERBLOCK)
        size, master = struct.unpack(">I", head[36:40])[0], struct.unpack(">Q", head[56:64])[0]
        if size not in (512, 1024, 2048, 4096):
            raise NotGfs2(f"blocks of {size} bytes")
        journals = _entries(read, size, _entries(read, size, master)[b"jindex"])
        times = [
            time
            for address in journals.values()
            for first, count in _runs(_blocks(read, size, address))
            for time in _times(read(first * size, count * size), size)
        ]
    except (struct.error, KeyError, RecursionError) as error:
        raise NotGfs2(f"it makes no sense as GFS2: {error!r}") from None
    return max(times, default=None)


def _metadata(block: bytes, kind: int) -> bytes:
    if struct.unpack(">II", block[:8]) != (MAGIC, kind):
        raise NotGfs2(f"no metadata of type {kind}")
    return block


def _entries(read: Read, size: int, address: int) -> "dict[bytes, int]":
    """Name -> block of its dinode, of a directory that lies within its own dinode (stuffed)."""
    block = _metadata(read(address * size, size), IS_DINODE)
    found, at = {}, _DINODE
    while at + _ENTRY <= len(block):
        formal, number, _, record, length = struct.unpack(">QQIHH", block[at : at + 24])
        if record < _ENTRY:
            break
        if formal:  # one that was removed has 0
            found[block[at + _ENTRY : at + _ENTRY + length]] = number
        at += record
    return found


def _blocks(read: Read, size: int, address: int) -> Iterator[int]:
    """The data blocks of a file, in order."""
    block = _metadata(read(address * size, size), IS_DINODE)
    height = struct.unpack(">H", block[138:140])[0]
    return _below(read, size, block[_DINODE:], height)


def _below(read: Read, size: int, pointers: bytes, height: int) -> Iterator[int]:
    for (number,) in struct.iter_unpack(">Q", pointers[: len(pointers) // 8 * 8]):
        if number and height > 1:
            block = _metadata(read(number * size, size), IS_INDIRECT)
            yield from _below(read, size, block[_HEADER:], height - 1)
        elif number and height == 1:
            yield number


def _runs(blocks: Iterator[int]) -> "Iterator[tuple[int, int]]":
    """Blocks that lie side by side, as (first, how many)."""
    first, count = -1, 0
    for number in blocks:
        if number == first + count and count < MOST_BLOCKS:
            count += 1
            continue
        if count:
            yield first, count
        first, count = number, 1
    if count:
        yield first, count


def _times(blocks: bytes, size: int) -> Iterator[float]:
    """Of the log headers among these blocks."""
    wanted = struct.pack(">II", MAGIC, IS_LOG_HEADER)
    for at in range(0, len(blocks), size):
        if blocks[at : at + 8] == wanted:
            nanoseconds, seconds = struct.unpack(">IQ", blocks[at + 52 : at + 64])
            if seconds:
                yield seconds + nanoseconds / 1e9
