"""A file that appears whole or not at all."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from builder.media.errors import OutputError
from builder.media.iso9660 import Progress

_PIECE_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: Path, *, force: bool, size: int = 0) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` when the block ends well.

    The bytes go to `path` + ".part", are fsynced and renamed. Whatever ends the block early,
    Ctrl-C too, removes the part and leaves an older `path` as it was.

    Args:
        path: where the file shall be.
        force: replace a file that is there.
        size: bytes expected, to refuse before writing when the disk has less room.

    Raises:
        OutputError: `path` is there without `force`, is not a regular file, cannot be written,
            or the disk is full.
    """
    check_target(path, force=force)
    part = path.with_name(path.name + ".part")
    if (free := shutil.disk_usage(path.parent).free) < size:
        raise _full(path, f"{size} bytes are needed and {free} are free")
    file = _open(part)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        # Others are not about this disk: the block reads files, too.
        if error.errno in _FULL:
            raise _full(path, "the disk or quota is full") from error
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _open(part: Path) -> BinaryIO:
    try:
        # A part left by a killed run is nobody's work. 0600: media carry introduction keys.
        part.unlink(missing_ok=True)
        return open(part, "x+b", opener=_private)
    except OSError as error:
        raise OutputError(
            f"{part}: {error.strerror}", "choose a folder you may write to with --output"
        ) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def check_target(path: Path, *, force: bool) -> None:
    """Refuse what `replacing` would refuse, before the work for it is done.

    Raises:
        OutputError: no such folder, not a regular file, or there without `force`.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder", f"mkdir -p {path.parent}")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file", "give --output the name of a new file")
    if path.exists() and not force:
        raise OutputError(f"{path} is there already", "add --force to replace it")


def _full(path: Path, what: str) -> OutputError:
    return OutputError(f"{path}: {what}", "free some room or choose another disk with --output")


def _sync_folder(folder: Path) -> None:
    """A rename is only safe from a power cut once the folder is on the disk (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path, progress: Progress | None = None) -> str:
    """Read a file whole and return its sha256 in hexadecimal; `progress` as a writer's.

    The media checksum stands near a patched medium's beginning and sums nearly all of the rest, so
    no single pass could make both. Raises OSError when it cannot be read.
    """
    digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE_BYTES))
    with path.open("rb", buffering=0) as file:
        size, done = os.fstat(file.fileno()).st_size, 0
        while count := file.readinto(piece):
            digest.update(piece[:count])
            done += count
            if progress:
                progress(done, size)
    return digest.hexdigest()
