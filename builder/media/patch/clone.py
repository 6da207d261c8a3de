"""Copy a source to a new file the cheapest way there is, then lay the changed blocks over it."""

import contextlib
import errno
import fcntl
import itertools
import mmap
import os
import shutil
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from builder.media.errors import OutputError, SourceError
from builder.media.iso9660 import Progress
from builder.media.patch.checksum import IsoMd5
from builder.media.patch.overlay import BLOCK
from builder.media.patch.planning import Patch
from builder.media.patch.room import Placed

How = Literal["reflink", "copy_file_range", "stream"]

# linux/fs.h: _IOW(0x94, 9, int).
_FICLONE = 0x40049409
# The file system, or this pair of them, has no such thing (ioctl_ficlone(2), copy_file_range(2)).
_CANNOT = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)
_STREAM_BYTES = 1024 * 1024
_RANGE_BYTES = 64 * 1024 * 1024


def clone(patch: Patch, out: BinaryIO, md5: IsoMd5 | None, progress: Progress | None) -> How:
    """Make `out` the patched medium; with `md5`, let it see every byte on the way.

    Args:
        patch: the plan.
        out: binary file, empty, for reading and writing; nothing buffered in it.
        md5: takes the medium's bytes in order.
        progress: called with bytes done and bytes in all.

    Raises:
        OutputError: not enough room.
        SourceError: the source cannot be read, or became shorter.
        OSError: `out` cannot be written.
    """
    how = _copy(patch, out, md5, progress)
    os.ftruncate(out.fileno(), patch.size)
    if how != "stream":
        _place(patch, out.fileno(), progress)
        write_blocks(out, patch.overlay.blocks)
        if md5 is not None:
            _stream(patch, None, md5, progress)
    return how


def _copy(patch: Patch, out: BinaryIO, md5: IsoMd5 | None, progress: Progress | None) -> How:
    _need_room(Path(out.name).parent, patch.placed_bytes)
    if reflink(patch.overlay.descriptor, out.fileno()):
        return "reflink"
    _need_room(Path(out.name).parent, patch.size)
    with _past_the_cache(out) as direct:
        if md5 is None and not direct and _copy_range(patch, out.fileno(), progress):
            return "copy_file_range"
        _stream(patch, out, md5, progress)
    return "stream"


def _need_room(folder: Path, size: int) -> None:
    if (free := shutil.disk_usage(folder).free) < size:
        raise OutputError(
            f"{folder}: {size} bytes are needed and {free} are free",
            "free some room or choose another disk with --output",
        )


def reflink(source: int, target: int) -> bool:
    """Let `target` share `source`'s blocks; False where that cannot be (both are descriptors)."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    return True


def _copy_range(patch: Patch, target: int, progress: Progress | None) -> bool:
    """Let the kernel copy; False when it cannot and nothing was written."""
    done, size = 0, patch.overlay.size
    while done < size:
        try:
            count = os.copy_file_range(
                patch.overlay.descriptor, target, min(_RANGE_BYTES, size - done), done, done
            )
        except OSError as error:
            if done or error.errno not in _CANNOT:
                raise
            return False
        if not count:
            if done:
                raise SourceError("the source became shorter while it was copied", "try again")
            # Some file systems answer 0 instead of an error.
            return False
        done += count
        if progress:
            progress(done, size + patch.placed_bytes)
    return True


def _place(patch: Patch, target: int, progress: Progress | None) -> None:
    """Write the placed files' data where the plan has it."""
    buffer = memoryview(bytearray(_STREAM_BYTES))
    done, total = patch.overlay.size, patch.overlay.size + patch.placed_bytes
    for each in patch.placed:
        for start in range(0, each.file.size, _STREAM_BYTES):
            piece = buffer[: min(_STREAM_BYTES, each.file.size - start)]
            _read_placed(each, start, piece)
            _write(target, piece, each.extent * BLOCK + start)
            done += len(piece)
            if progress:
                progress(done, total)


def _stream(
    patch: Patch, out: BinaryIO | None, md5: IsoMd5 | None, progress: Progress | None
) -> None:
    """Read the medium as it will be, from front to back, and sum it, write it, or both.

    Direct writes want memory that begins on a page, hence the mapping, and whole sectors: what is
    written behind the end, less than a piece, is cut off by the caller.
    """
    buffer = memoryview(mmap.mmap(-1, _STREAM_BYTES))
    for start in range(0, patch.size, _STREAM_BYTES):
        _pass(patch, start, buffer, out, md5)
        if progress:
            progress(min(start + _STREAM_BYTES, patch.size), patch.size)


def _pass(
    patch: Patch, start: int, piece: memoryview, out: BinaryIO | None, md5: IsoMd5 | None
) -> None:
    _fill(patch, start, piece)
    _lay(patch.placed, start, piece)
    for place, block in patch.overlay.changed(start, len(piece)):
        piece[place - start : place - start + BLOCK] = block
    if md5 is not None:
        md5.update(piece)
    if out is not None:
        _write(out.fileno(), piece, start)


@contextlib.contextmanager
def _past_the_cache(out: BinaryIO) -> Iterator[bool]:
    """Let writes go around the page cache, and yield whether the file system does that.

    On a busy machine half of a copy's CPU goes into that cache, copy_file_range's on a local disk
    as well, and nobody needs it: the medium is fsynced, and only some blocks are read again.
    """
    flags = fcntl.fcntl(out, fcntl.F_GETFL)
    direct = True
    try:
        fcntl.fcntl(out, fcntl.F_SETFL, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        direct = False
    try:
        yield direct
    finally:
        fcntl.fcntl(out, fcntl.F_SETFL, flags)


def _fill(patch: Patch, start: int, piece: memoryview) -> None:
    """Read a piece of the source; behind its end the medium is zero."""
    there = max(0, min(len(piece), patch.overlay.size - start))
    done = 0
    while done < there:
        try:
            count = os.preadv(patch.overlay.descriptor, [piece[done:there]], start + done)
        except OSError as error:
            raise SourceError(
                f"the source cannot be read: {error.strerror}", "see dmesg"
            ) from error
        if not count:
            raise SourceError("the source became shorter while it was copied", "try again")
        done += count
    piece[there:] = bytes(len(piece) - there)


def _lay(placed: Sequence[Placed], start: int, piece: memoryview) -> None:
    """Lay the placed files that reach into a piece of the medium over it."""
    end = start + len(piece)
    first = bisect_right(placed, start // BLOCK, key=lambda each: each.end)
    for each in itertools.islice(placed, first, None):
        begin = each.extent * BLOCK
        if begin >= end:
            break
        low, high = max(begin, start), min(begin + each.file.size, end)
        if low < high:
            _read_placed(each, low - begin, piece[low - start : high - start])


def _read_placed(placed: Placed, offset: int, piece: memoryview) -> None:
    path = placed.file.path
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            done = 0
            while done < len(piece):
                count = file.readinto(piece[done:])
                if not count:
                    raise SourceError(f"{path} became shorter while it was copied", "try again")
                done += count
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", "see dmesg") from error


def write_blocks(out: BinaryIO, blocks: dict[int, bytes]) -> None:
    """Write blocks (number -> 2 KiB) to their places, neighbours in one go."""
    numbered = enumerate(sorted(blocks))
    for _, group in itertools.groupby(numbered, key=lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        data = b"".join(blocks[number] for number in numbers)
        _write(out.fileno(), memoryview(data), numbers[0] * BLOCK)


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count
