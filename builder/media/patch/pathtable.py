"""The path tables: a list of all folders by level, for readers that do not walk (ECMA-119 6.9)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from builder.media.errors import MediumError
from builder.media.patch.folders import Branch
from builder.media.patch.naming import order
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import both
from builder.media.patch.refusal import damaged
from builder.media.patch.room import Room
from builder.media.patch.volume import Tree

# 8.4.13 to 8.4.17.
_SIZE_AT = 132
_PLACES = ((140, "<"), (144, "<"), (148, ">"), (152, ">"))
_MOST_BYTES = 16 * 1024 * 1024
# A parent's number has two bytes (9.4.4).
_MOST_FOLDERS = 0xFFFF


@dataclass(slots=True)
class _Folder:
    identifier: bytes
    extent: int
    below: list["_Folder"] = field(default_factory=list)


def add_folders(image: Overlay, tree: Tree, root: Branch, room: Room) -> Tree:
    """Write new path tables with the folders below `root`; return the tree that has them.

    Raises:
        SourceError: the old table is damaged.
        MediumError: more folders than a table can number.
    """
    top = _read(image, tree)
    _add(top, root, tree.joliet)
    data = {endian: b"".join(_rows(top, endian)) for endian in "<>"}
    size = len(data["<"])
    tables = []
    descriptor = tree.block * BLOCK
    for at, endian in _PLACES:
        pointer = image.read(descriptor + at, 4)
        if any(pointer):
            extent = room.take(size)
            image.write(extent * BLOCK, data[endian].ljust(-(-size // BLOCK) * BLOCK, b"\0"))
            image.write(descriptor + at, struct.pack(f"{endian}I", extent))
            tables.append((extent, endian))
    image.write(descriptor + _SIZE_AT, both(size))
    return replace(tree, path_tables=tuple(tables), path_table_bytes=size)


def _read(image: Overlay, tree: Tree) -> _Folder:
    place = next((place for place, endian in tree.path_tables if endian == "<"), None)
    if place is None or not 0 < tree.path_table_bytes <= _MOST_BYTES:
        raise damaged("it has no usable path table")
    data = image.read(place * BLOCK, tree.path_table_bytes)
    folders: list[_Folder] = []
    at = 0
    while at < len(data):
        length = data[at]
        if not length or at + 8 + length > len(data):
            raise damaged(f"the path table in block {place} has a wrong length")
        extent, parent = struct.unpack_from("<IH", data, at + 2)
        folder = _Folder(data[at + 8 : at + 8 + length], extent)
        if folders and not 1 <= parent <= len(folders):
            raise damaged(f"the path table in block {place} has a folder in front of its parent")
        if folders:
            folders[parent - 1].below.append(folder)
        folders.append(folder)
        at += 8 + length + length % 2
    return folders[0]


def _add(here: _Folder, branch: Branch, joliet: bool) -> None:
    for each in branch.sorted_folders(joliet):
        new = _Folder(each.identifier, each.extent)
        key = order(joliet, each.identifier)
        later = (n for n, old in enumerate(here.below) if order(joliet, old.identifier) > key)
        here.below.insert(next(later, len(here.below)), new)
        _add(new, each, joliet)


def _rows(top: _Folder, endian: str) -> Iterator[bytes]:
    """Level by level; in each, by the parents' numbers, then as the parents have them (6.9.1)."""
    level = [(top, 1)]
    number = 0
    while level:
        following = []
        for folder, parent in level:
            number += 1
            following += [(below, number) for below in folder.below]
            name = folder.identifier + b"\0" * (len(folder.identifier) % 2)
            head = struct.pack("BB", len(folder.identifier), 0)
            yield head + struct.pack(f"{endian}IH", folder.extent, parent) + name
        level = following
        if number + len(level) > _MOST_FOLDERS:
            raise MediumError(f"more than {_MOST_FOLDERS} folders", "put files together in fewer")
