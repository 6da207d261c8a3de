"""The files of a source, all of them: where each one's bytes lie in the image.

pycdlib would keep every record of a DVD in memory (`builder.media.outline`); here they are walked
one folder after the other.
"""

import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from builder.media.outline import roots
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import PARENT, SELF, Record, in_folder
from builder.media.patch.refusal import damaged
from builder.media.patch.survey import name_of
from builder.media.patch.volume import Tree

_MORE_EXTENTS = 0x80
_MOST_FOLDERS = 65536


@dataclass(frozen=True, slots=True)
class Packed:
    """A file in an image: `extents` are (byte, length), `when` its date, seconds since 1970."""

    path: str
    extents: tuple[tuple[int, int], ...]
    when: int

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(length for _, length in self.extents)


def files(image: BinaryIO) -> Iterator[Packed]:
    """Every file of an open image, by the names that Rock Ridge gives.

    Raises:
        SourceError: damaged, or a name that leads out of its folder.
    """
    view = Overlay(image.fileno(), os.fstat(image.fileno()).st_size)
    root = next(roots(view), None)
    if root is None:
        raise damaged("it has no root folder")
    # The primary descriptor is the first, and has the Rock Ridge names.
    tree = Tree(0, joliet=False, root=root, path_tables=(), path_table_bytes=0)
    seen: set[int] = set()
    todo: list[tuple[Record, str]] = [(tree.root, "")]
    while todo:
        folder, path = todo.pop()
        if folder.extent in seen or len(seen) > _MOST_FOLDERS:
            raise damaged(f"the folder at block {folder.extent} is inside itself, or too many are")
        seen.add(folder.extent)
        parts: list[Record] = []
        for record in in_folder(view, folder.extent, folder.size):
            if record.identifier in (SELF, PARENT):
                continue
            here = _path(view, tree, record, path)
            if record.is_folder:
                todo.append((record, f"{here}/"))
                continue
            parts.append(record)
            if not record.flags & _MORE_EXTENTS:
                yield _packed(view, here, parts)
                parts = []


def _path(view: Overlay, tree: Tree, record: Record, folder: str) -> str:
    name = name_of(view, tree, record)
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise damaged(f"a name in its folder /{folder} leads elsewhere")
    return folder + name


def _packed(view: Overlay, path: str, parts: list[Record]) -> Packed:
    extents = tuple((part.extent * BLOCK, part.size) for part in parts)
    if any(start + length > view.size for start, length in extents):
        raise damaged(f"{path} lies behind its end")
    return Packed(path, extents, _date(parts[-1].raw[18:25]))


def _date(raw: bytes) -> int:
    """A record's date (ECMA-119, 9.1.5); 1980 where it is none."""
    year, month, day, hour, minute, second, quarters = raw
    try:
        at = datetime.datetime(1900 + year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        return 315_532_800
    return int(at.timestamp()) - (quarters - 256 * (quarters > 127)) * 900
