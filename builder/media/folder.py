"""A folder that appears whole or not at all, and of which nothing is stored twice.

Everything goes to FOLDER.part, which then takes FOLDER's place in one step. What an earlier FOLDER
has of the same source is linked, not copied again.

Killed, it leaves the older one. Nothing is fsynced, thousands of files as there are: after a power
cut within the minute it has to be made again, and what was cut short is seen by its size.
"""

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from builder.media.errors import OutputError, RefusedError, SourceError
from builder.media.local import LocalFile
from builder.media.patch.clone import reflink
from builder.media.unpack import Packed

_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
_CANNOT_EXCHANGE = (errno.EINVAL, errno.ENOSYS)
_PIECE_BYTES = 64 * 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CANNOT_COPY = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)


@dataclass(slots=True)
class Staging:
    """The folder while it is made.

    `private` are paths below which only owner and group may read, the group being `group` where it
    is given; `older` is a folder whose files of the same source may be linked.
    """

    folder: Path
    older: Path | None
    private: str
    group: int | None
    _made: set[str] = field(default_factory=set)

    def put(self, path: str, content: bytes, when: int) -> None:
        """Write a file of our own, dated `when`."""
        with self._new(path) as file:
            file.write(content)
        os.utime(self.folder / path, (when, when))

    def link(self, path: str, target: str) -> None:
        """Let `path` be another name of `target`, both in the folder."""
        self._parents(path)
        (self.folder / path).hardlink_to(self.folder / target)

    def unpacked(self, path: str, packed: Packed) -> bool:
        """Link what the older folder has of a source's file; whether it has it."""
        if self.older is None:
            return False
        there = self.older / path
        try:
            found = there.lstat()
            if (found.st_size, int(found.st_mtime)) != (packed.size, packed.when):
                return False
            self._parents(path)
            (self.folder / path).hardlink_to(there)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EMLINK):
                return False
            raise
        return True

    def unpack(self, path: str, packed: Packed, image: BinaryIO) -> None:
        """Copy a source's file. Raises SourceError when the image ends before."""
        with self._new(path) as file:
            for start, length in packed.extents:
                _copy(image.fileno(), start, length, file.fileno())
        os.utime(self.folder / path, (packed.when, packed.when))

    def take(self, path: str, local: LocalFile, when: int) -> None:
        """Clone or copy a file of this machine. Raises MediumError when it has changed."""
        with self._new(path) as file, local.path.open("rb") as source:
            if not reflink(source.fileno(), file.fileno()):
                _copy(source.fileno(), 0, local.size, file.fileno())
        with (self.folder / path).open("rb") as copied:
            local.check(copied, f"the copy of {local.path}")
        os.utime(self.folder / path, (when, when))

    def _new(self, path: str) -> BinaryIO:
        self._parents(path)
        place, mode = self.folder / path, 0o640 if path.startswith(self.private) else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.fdopen(os.open(place, flags, 0o600), "wb", buffering=0)
        os.fchmod(file.fileno(), mode)
        self._give(place, path)
        return file

    def _parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            if here not in self._made:
                self._made.add(here)
                (self.folder / here).mkdir(exist_ok=True)
                # Not what the umask leaves: servers run as other users.
                (self.folder / here).chmod(0o750 if here.startswith(self.private) else 0o755)
                self._give(self.folder / here, here)

    def _give(self, place: Path, path: str) -> None:
        if self.group is not None and path.startswith(self.private):
            os.chown(place, -1, self.group)


def _copy(source: int, start: int, length: int, target: int) -> None:
    """Append a range of `source`, in the kernel where it can."""
    while length:
        count = min(_PIECE_BYTES, length)
        try:
            done = os.copy_file_range(source, target, count, start)
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
            done = os.write(target, os.pread(source, min(count, 1024 * 1024), start))
        if not done:
            raise SourceError("the source became shorter while it was copied", "try again")
        start, length = start + done, length - done


def check_folder(out: Path, mark: str, *, force: bool) -> None:
    """Refuse a target that could not, or must not, be replaced.

    Raises:
        OutputError: no such parent folder, or no folder.
        RefusedError: neither empty nor one of ours, by its file `mark`; or ours without `force`.
    """
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent} is not a folder", f"mkdir -p {out.parent}")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise OutputError(f"{out} is not a folder", "give --out the name of a new folder")
    if not any(out.iterdir()):
        return
    if not (out / mark).is_file():
        raise RefusedError(
            f"{out} is not a tree that ksbuild made", "give --out the name of a new folder"
        )
    if not force:
        raise RefusedError(f"{out} is there already", "add --force to replace it")


@contextlib.contextmanager
def replacing_folder(
    out: Path, mark: str, *, force: bool, private: str, group: int | None, reuse: bool
) -> Iterator[Staging]:
    """Yield the staging of `out`, which takes its place when the block ends well.

    Whatever ends the block early, Ctrl-C too, leaves an older `out` as it was and nothing else.

    Args:
        out: where the folder shall be.
        mark: the file by which one of ours is known.
        force: replace one of ours.
        private: prefix of paths that not everybody may read.
        group: whose members may, besides the owner.
        reuse: the older `out` has files of the same source.

    Raises:
        OutputError, RefusedError: as `check_folder`; it cannot be written, or the disk is full.
    """
    check_folder(out, mark, force=force)
    part = out.with_name(out.name + ".part")
    try:
        # A part left by a killed run is nobody's work.
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(mode=0o755)
        yield Staging(part, out if reuse else None, private, group)
        _swap(part, out)
    except OSError as error:
        if error.errno in _FULL:
            hint = "free some room or choose another disk with --out"
            raise OutputError(f"{out}: the disk or quota is full", hint) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "choose a folder you may write to with --out"
            raise OutputError(f"{error.filename or part}: {error.strerror}", hint) from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, out: Path) -> None:
    """Put `part` where `out` is, or is to be, in one step (renameat2(2))."""
    if not out.exists() or not any(out.iterdir()):
        part.rename(out)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(part), os.fsencode(out)
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number not in _CANNOT_EXCHANGE:
        raise OSError(number, os.strerror(number), str(out))
    raise OutputError(
        f"the file system of {out} cannot exchange two folders",
        f"rm -r {out}, or give --out another name",
    )
