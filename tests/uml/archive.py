"""Turn a root file system's tar into what a guest reads: a leaner tar, or a newc cpio archive.

Everything works on tar members, so ownership and devices survive without root.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.LNKTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.CHRTYPE: stat.S_IFCHR,
}


class Entry(NamedTuple):
    """One file of an archive: its tar header (name without leading ./) and its content."""

    info: tarfile.TarInfo
    data: bytes = b""


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """Return a regular file owned by root."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    return Entry(info, data)


def link(name: str, target: str) -> Entry:
    """Return a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return Entry(info)


def folder(name: str, mode: int = 0o755) -> Entry:
    """Return a folder owned by root."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return Entry(info)


def character_device(name: str, major: int, minor: int) -> Entry:
    """Return a character device of mode 0600."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.devmajor, info.devminor = tarfile.CHRTYPE, 0o600, major, minor
    return Entry(info)


def tree(top: Path, prefix: str, keep: Callable[[Path], bool] = lambda _: True) -> Iterator[Entry]:
    """Yield top as the folder prefix, then what is below it, owned by root, sorted."""
    yield folder(prefix)
    for path in sorted(top.rglob("*")):
        if not keep(path):
            continue
        name = f"{prefix}/{path.relative_to(top)}"
        if path.is_dir():
            yield folder(name)
        else:
            yield file(name, path.read_bytes(), stat.S_IMODE(path.stat().st_mode))


def members(archive: Path, left_out: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield a tar's entries but those whose name begins with one of left_out.

    Hard links come out as files of their own, so leaving out a link's target loses nothing.
    """
    with tarfile.open(archive) as tar:
        for info in tar:
            name = info.name.removeprefix("./")
            if name in ("", ".") or name.startswith(left_out):
                continue
            content = tar.extractfile(info) if info.isreg() or info.islnk() else None
            data = content.read() if content else b""
            info.name = name
            if info.islnk():
                info.type = tarfile.REGTYPE
            info.size = len(data)
            yield Entry(info, data)


def write_tar(entries: Iterator[Entry], out: BinaryIO) -> None:
    """Write entries as a tar."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            info.pax_headers = {}
            tar.addfile(info, io.BytesIO(data))


def write_cpio(entries: Iterator[Entry], out: BinaryIO) -> None:
    """Write entries as the uncompressed newc archive the kernel unpacks as its first root."""
    inode = 0
    for inode, (info, data) in enumerate(entries, 1):
        body = info.linkname.encode() if info.issym() else data
        _write_record(out, info, body, inode)
    _write_record(out, tarfile.TarInfo("TRAILER!!!"), b"", inode + 1)
    out.write(bytes(-out.tell() % 512))


def _write_record(out: BinaryIO, info: tarfile.TarInfo, body: bytes, inode: int) -> None:
    if info.type not in _TYPES:
        raise ValueError(f"{info.name}: type {info.type!r} has no place in a cpio archive")
    name = info.name.encode() + b"\0"
    fields = (
        *(inode, _TYPES[info.type] | info.mode, info.uid, info.gid, 1, int(info.mtime), len(body)),
        *(0, 0, info.devmajor, info.devminor, len(name), 0),
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out.write(header + bytes(-len(header) % 4) + body + bytes(-len(body) % 4))
