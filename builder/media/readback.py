"""Read a medium back that was just written, through a parser that had no part in its plan."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from builder.media.errors import MediumError
from builder.media.iso9660 import Streamed

AGAIN = "build it again; if this stays so, the disk or memory is at fault"
Names = Literal["rr_path", "joliet_path"]
_CHUNK = 1024 * 1024


@contextlib.contextmanager
def opened(path: Path, volume_id: str) -> Iterator[PyCdlib]:
    """Open a medium that has to bear this label.

    Raises:
        MediumError: it cannot be read, or is labelled otherwise.
    """
    iso = PyCdlib()
    try:
        iso.open(str(path))
    except (PyCdlibException, struct.error, ValueError, LookupError) as error:
        raise MediumError(f"{path} cannot be read back ({error})", AGAIN) from error
    try:
        label = iso.pvd.volume_identifier.decode("ascii", "replace").rstrip()
        if label != volume_id:
            raise MediumError(f"{path} is labelled {label!r}, not {volume_id!r}", AGAIN)
        yield iso
    finally:
        iso.close()


def read(iso: PyCdlib, path: Path, name: str, names: Names = "rr_path") -> bytes:
    """Return a file's content, found by its Rock Ridge or Joliet name.

    Raises:
        MediumError: no such file, or it cannot be read.
    """
    try:
        with iso.open_file_from_iso(**{names: f"/{name}"}) as file:
            return bytes(file.read())
    except PyCdlibException as error:
        raise MediumError(f"{path}: {name} cannot be read ({error})", AGAIN) from error


def compare(iso: PyCdlib, path: Path, name: str, content: bytes, names: Names = "rr_path") -> None:
    """Refuse a medium whose file holds anything but `content`.

    Raises:
        MediumError: it differs, or cannot be read.
    """
    if read(iso, path, name, names) != content:
        raise MediumError(f"{path}: {name} differs from what was written", AGAIN)


def compare_stream(iso: PyCdlib, path: Path, name: str, wanted: Streamed, *, skip: int = 0) -> None:
    """Refuse a medium whose file holds anything but what `wanted` streams, from `skip` bytes on.

    A piece at a time: EL9's initrd is larger than all the memory a build may take.

    Raises:
        MediumError: it differs, or cannot be read.
    """
    try:
        with iso.open_file_from_iso(rr_path=f"/{name}") as there:
            same = there.length() == wanted.length
            there.seek(skip)
            wanted.stream.seek(skip)
            while same and (piece := there.read(_CHUNK)):
                same = piece == wanted.stream.read(_CHUNK)
    except PyCdlibException as error:
        raise MediumError(f"{path}: {name} cannot be read ({error})", AGAIN) from error
    if not same:
        raise MediumError(f"{path}: {name} differs from the source's", AGAIN)
