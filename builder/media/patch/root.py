"""Add files to the root folder of a tree, and move the folder when it no longer fits."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from builder.media.errors import MediumError
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import (
    PARENT,
    SELF,
    Record,
    both,
    date,
    in_folder,
    make,
    moved,
    parse,
    susp,
)
from builder.media.patch.refusal import damaged
from builder.media.patch.volume import Tree, set_root

# Joliet 1.0: 64 characters. Rock Ridge would allow 255, but then one record does not hold it.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_REGULAR_READABLE = 0o100444
# P1282 4.1.1 to 4.1.6, and the RR entry of the 1991 draft that genisoimage still writes.
_RR_PX, _RR_NM, _RR_TF = 0x01, 0x08, 0x80
_TF_LONG = 0x80


@dataclass(frozen=True, slots=True)
class Added:
    """A file whose data is already placed: block, bytes and Rock Ridge serial number."""

    name: str
    extent: int
    size: int
    serial: int


class Room:
    """Hands out the blocks behind the last used one, in order."""

    def __init__(self, first: int) -> None:
        self.next = first

    def take(self, size: int) -> int:
        """Return the first of the blocks for `size` bytes; an empty file gets one, too."""
        first = self.next
        self.next += max(1, -(-size // BLOCK))
        return first


def check_name(name: str) -> None:
    """Refuse names that cannot stand in both kinds of tree without being changed.

    Raises:
        MediumError: with the rule.
    """
    if not _NAME.fullmatch(name):
        raise MediumError(
            f"{name!r} cannot be added to the root folder",
            "names have 1 to 64 letters, digits, '_', '-' or '.', and no '.' at the beginning",
        )


def add_to_root(image: Overlay, tree: Tree, files: list[Added], when: int, room: Room) -> None:
    """Insert records for `files`, dated `when` (seconds since 1970), in the order of 9.3.

    Raises:
        SourceError: the folder is damaged.
        MediumError: a name that does not fit into a record.
    """
    old = list(tree.records(image))
    raws = [record.raw for record in old]
    identifiers = [record.identifier for record in old]
    neighbour = _neighbour(image, tree, old)
    for file in files:
        identifier = _identifier(tree, file.name, identifiers)
        use = b"" if tree.joliet else _system_use(neighbour, file, when)
        try:
            raw = make(identifier, file.extent, file.size, when, use)
        except ValueError as error:
            raise MediumError(f"{file.name}: {error}", "use a shorter name") from error
        key = _order(tree, identifier)
        # Behind the two for the folder and its parent, in front of the first that is greater.
        later = (n for n in range(2, len(raws)) if _order(tree, identifiers[n]) > key)
        place = next(later, len(raws))
        raws.insert(place, raw)
        identifiers.insert(place, identifier)
    _store(image, tree, raws, room)


def _order(tree: Tree, identifier: bytes) -> tuple[str, str, int]:
    """The sort key of 9.3: name, then extension, then versions falling."""
    text = identifier.decode("utf-16-be" if tree.joliet else "latin-1", "replace")
    body, _, version = text.partition(";")
    stem, _, extension = body.partition(".")
    return stem, extension, -int(version) if version.isdecimal() else 0


def _identifier(tree: Tree, name: str, taken: list[bytes]) -> bytes:
    """Name a file as its neighbours in this tree are named.

    xorriso follows ECMA-119 7.5.1 in the primary tree; `genisoimage -U` leaves names alone, up to
    31 characters and without a version. Joliet keeps them and may or may not have versions.
    """
    plain = [known for known in taken if known not in (SELF, PARENT)]
    if tree.joliet:
        encoded = name.encode("utf-16-be")
        end = ";1".encode("utf-16-be")
        return encoded + (end if any(known.endswith(end) for known in plain) else b"")
    versioned = any(known.endswith(b";1") for known in plain)
    untranslated = any(known != known.upper() for known in plain)
    version = ";1" if versioned or not untranslated else ""
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    if not untranslated:
        stem, extension = (re.sub(r"[^A-Z0-9_]", "_", s.upper()) for s in (stem, extension))
        dot = "."
    extension = extension[:8]
    used = {known.upper() for known in taken}
    for number in range(len(taken) + 1):
        suffix = f"_{number}" if number else ""
        kept = stem[: 30 - len(extension) - len(suffix)]
        candidate = f"{kept}{suffix}{dot}{extension}{version}".encode("ascii")
        if candidate.upper() not in used:
            return candidate
    raise damaged("its root folder names files twice")


def _neighbour(image: Overlay, tree: Tree, records: list[Record]) -> list[tuple[bytes, bytes]]:
    """Return the Rock Ridge entries to imitate: a file's, or the folder's own."""
    if tree.joliet:
        return []
    files = [record for record in records if not record.is_folder] or records[:1]
    return list(susp(image, files[0]))


def _system_use(neighbour: list[tuple[bytes, bytes]], file: Added, when: int) -> bytes:
    """Make Rock Ridge entries: the kinds, versions and lengths that the neighbour has."""
    like = dict(neighbour)
    if b"PX" not in like:
        raise damaged("a file in its root folder has no Rock Ridge attributes")
    px = both(_REGULAR_READABLE) + both(1) + both(0) + both(0)
    if len(like[b"PX"]) >= 44:
        px += both(file.serial & 0xFFFFFFFF)
    entries = [_entry(b"PX", px), _entry(b"NM", b"\0" + file.name.encode("ascii"))]
    if (tf := like.get(b"TF", b"")) and len(tf) > 4:
        stamps = (tf[4] & ~_TF_LONG).bit_count()
        entries.append(_entry(b"TF", bytes([tf[4] & ~_TF_LONG]) + date(when) * stamps))
    if b"RR" in like:
        present = _RR_PX | _RR_NM | (_RR_TF if len(entries) > 2 else 0)
        entries.insert(0, _entry(b"RR", bytes([present])))
    return b"".join(entries)


def _entry(signature: bytes, body: bytes) -> bytes:
    return signature + struct.pack("BB", len(body) + 4, 1) + body


def _packed(raws: list[bytes]) -> bytes:
    """Lay records one after another; none crosses a block (6.8.1.1)."""
    data = b""
    for raw in raws:
        if len(data) % BLOCK + len(raw) > BLOCK:
            data += bytes(-len(data) % BLOCK)
        data += raw
    return data + bytes(-len(data) % BLOCK)


def _store(image: Overlay, tree: Tree, raws: list[bytes], room: Room) -> None:
    data = _packed(raws)
    if len(data) <= tree.root.size:
        image.write(tree.root.extent * BLOCK, data.ljust(tree.root.size, b"\0"))
        return
    extent = room.take(len(data))
    raws = [moved(raws[0], extent, len(data)), moved(raws[1], extent, len(data)), *raws[2:]]
    image.write(extent * BLOCK, _packed(raws))
    for parent in _links_to_parent(image, tree, raws):
        image.write(parent.offset, moved(parent.raw, extent, len(data)))
    set_root(image, tree, extent, len(data))


def _links_to_parent(image: Overlay, tree: Tree, raws: list[bytes]) -> Iterator[Record]:
    """Yield each subfolder's record of its parent.

    xorriso lets some Joliet ones point to the folder itself; those stay as they are.
    """
    for record in [parse(raw, 0) for raw in raws[2:]]:
        if record.is_folder:
            parent = list(in_folder(image, record.extent, record.size))[1]
            if parent.extent == tree.root.extent:
                yield parent
