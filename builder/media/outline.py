"""An image as pycdlib gets to see it: without what is in the source's folders of packages.

pycdlib keeps all that it reads, about 6 KB for every file in two trees, and an EL9 DVD has up to
10,000 packages. Nothing asks it for one of them: the installer reads packages, and the patcher
walks their records itself (`builder.media.patch.survey`), one at a time.
"""

import io
import itertools
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from builder.media.errors import SourceError
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import PARENT, SELF, Record, in_folder, parse

# Where pungi puts them: VARIANT/Packages, or Packages in the root folder (.treeinfo, packagedir).
# Interchange level 1 has no more than eight characters of a folder's name (ECMA-119, 10.1).
_PACKAGES, _VARIANTS = "PACKAGES", ("BASEOS", "APPSTREA", "MINIMAL")
_FIRST, _MOST_DESCRIPTORS, _ROOT_AT, _ROOT_BYTES = 16, 16, 156, 34
_PRIMARY, _SUPPLEMENTARY, _END = 1, 2, 255


def outline(file: BinaryIO, *, tables: bool = True) -> BinaryIO:
    """A second view of an open image, which has to stay open as long as the view is used.

    Every byte is the image's own but those of the folders of packages, which seem empty, and,
    without `tables`, of MBR and GPT, so that the files of an image can be read when these are
    damaged. Where the image is damaged otherwise nothing is hidden: what is wrong is for pycdlib to
    find.
    """
    image = Overlay(file.fileno(), os.fstat(file.fileno()).st_size)
    # ECMA-119, 6.2.1: the system area.
    system_area = {} if tables else {0: _FIRST * BLOCK}
    return cast(BinaryIO, _Outline(image, system_area | dict(_hidden(image))))


class _Outline(io.RawIOBase):
    """Zeros from each of `hidden`, byte -> end."""

    def __init__(self, image: Overlay, hidden: dict[int, int]) -> None:
        super().__init__()
        self._image, self._hidden, self._at = image, hidden, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        at = offset + {os.SEEK_CUR: self._at, os.SEEK_END: self._image.size}.get(whence, 0)
        if at < 0:
            raise ValueError(f"there is no byte {at}")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "memoryview", /) -> int:  # type: ignore[override]
        start = self._at
        count = os.preadv(self._image.descriptor, [buffer], start)
        for first, end in self._hidden.items():
            low, high = max(first, start), min(end, start + count)
            if low < high:
                buffer[low - start : high - start] = bytes(high - low)
        self._at += count
        return count


def _hidden(image: Overlay) -> Iterator[tuple[int, int]]:
    """Where the records in folders of packages stand, in every tree: from byte, to byte."""
    for root in roots(image):
        top = _folders(image, root)
        inner = [_folders(image, folder) for folder in top if _name(folder)[:8] in _VARIANTS]
        for folder in itertools.chain(top, *inner):
            if _name(folder) == _PACKAGES:
                yield from _content(image, folder)


def roots(image: Overlay) -> Iterator[Record]:
    """The root folder of each descriptor that has one (ECMA-119, 8.4.18 and 8.5.12)."""
    try:
        for block in range(_FIRST, _FIRST + _MOST_DESCRIPTORS):
            raw = image.read(block * BLOCK, BLOCK)
            if raw[1:6] != b"CD001" or raw[0] == _END:
                return
            if raw[0] in (_PRIMARY, _SUPPLEMENTARY):
                at = block * BLOCK + _ROOT_AT
                yield parse(raw[_ROOT_AT : _ROOT_AT + _ROOT_BYTES], at)
    except SourceError:
        return


def _folders(image: Overlay, folder: Record) -> list[Record]:
    try:
        records = list(in_folder(image, folder.extent, folder.size))
    except SourceError:
        return []
    return [each for each in records if each.is_folder and each.identifier not in (SELF, PARENT)]


def _content(image: Overlay, folder: Record) -> Iterator[tuple[int, int]]:
    """All behind a folder's records of itself and its parent."""
    try:
        _, parent = itertools.islice(in_folder(image, folder.extent, folder.size), 2)
    except SourceError:
        return
    yield parent.offset + len(parent.raw), folder.extent * BLOCK + folder.size


def _name(folder: Record) -> str:
    """A folder's name in upper case, be it ISO 9660's or, two bytes each, Joliet's."""
    return folder.identifier.replace(b"\0", b"").decode("latin-1").upper()
