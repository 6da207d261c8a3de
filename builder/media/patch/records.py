"""Directory records of ISO 9660 and their Rock Ridge entries: reading, changing, making.

ECMA-119 section 9.1 (records), IEEE P1281 (SUSP) and P1282 (Rock Ridge) for the system use area.
"""

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.refusal import damaged

FOLDER, _ASSOCIATED, _MORE_EXTENTS = 0x02, 0x04, 0x80
SELF, PARENT = b"\0", b"\1"
_FIXED = 33
_MOST_FOLDER_BYTES = 16 * 1024 * 1024
_MOST_CONTINUATIONS = 16


@dataclass(frozen=True, slots=True)
class Record:
    """One directory record; `offset` is where its bytes stand on the image."""

    offset: int
    raw: bytes
    extent: int
    size: int
    flags: int
    identifier: bytes

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder."""
        return bool(self.flags & FOLDER)

    @property
    def is_simple(self) -> bool:
        """Whether one plain extent holds the file (9.1.6: flags, 9.1.7: interleaving)."""
        return not self.flags & (_MORE_EXTENTS | _ASSOCIATED) and self.raw[26:28] == b"\0\0"

    @property
    def system_use(self) -> bytes:
        """Everything behind the identifier and its padding (9.1.12, 9.1.13)."""
        length = len(self.identifier)
        return self.raw[_FIXED + length + (length + 1) % 2 :]


def both_endian(raw: bytes, at: int, what: str) -> int:
    """Read a 32-bit number recorded in both byte orders (7.3.3).

    Raises:
        SourceError: the two differ.
    """
    little, big = struct.unpack_from("<I", raw, at)[0], struct.unpack_from(">I", raw, at + 4)[0]
    if little != big:
        raise damaged(f"{what} is recorded as {little} and as {big}")
    return int(little)


def both(number: int) -> bytes:
    """Record a 32-bit number in both byte orders (7.3.3)."""
    return struct.pack("<I", number) + struct.pack(">I", number)


def parse(raw: bytes, offset: int) -> Record:
    """Make a Record of its bytes.

    Raises:
        SourceError: a length that does not fit, or numbers that differ between byte orders.
    """
    length = raw[32] if len(raw) > _FIXED else 0
    if not length or _FIXED + length > len(raw):
        raise damaged(f"the directory record at byte {offset} has a wrong length")
    if raw[1]:
        raise damaged(f"the directory record at byte {offset} has extended attributes")
    extent = both_endian(raw, 2, f"the extent at byte {offset}")
    size = both_endian(raw, 10, f"the size at byte {offset}")
    return Record(offset, raw, extent, size, raw[25], raw[_FIXED : _FIXED + length])


def in_folder(image: Overlay, extent: int, size: int) -> Iterator[Record]:
    """Yield the records of a folder, the ones for itself and its parent first (6.8.2.2).

    Raises:
        SourceError: a size, length or order that the standard forbids.
    """
    if not 0 < size <= _MOST_FOLDER_BYTES or size % BLOCK:
        raise damaged(f"the folder at block {extent} has {size} bytes")
    number = 0
    for block in range(extent, extent + size // BLOCK):
        data = image.read(block * BLOCK, BLOCK)
        at = 0
        # A record does not cross blocks; zeros fill the rest (6.8.1.1).
        while at < BLOCK and (length := data[at]):
            if at + length > BLOCK:
                raise damaged(f"a directory record crosses the end of block {block}")
            record = parse(data[at : at + length], block * BLOCK + at)
            expected = (SELF, PARENT)[number] if number < 2 else None
            if expected and (record.identifier != expected or not record.is_folder):
                raise damaged(f"the folder at block {extent} does not begin with itself")
            yield record
            number += 1
            at += length
    if number < 2:
        raise damaged(f"the folder at block {extent} does not name its parent")


def susp(image: Overlay, record: Record) -> Iterator[tuple[bytes, bytes]]:
    """Yield (signature, whole entry) of a record's system use area, continuations included.

    Raises:
        SourceError: an entry's length does not fit, or continuations without end.
    """
    areas = [record.system_use]
    for area in areas:
        at = 0
        while at + 4 <= len(area) and area[at]:
            length = area[at + 2]
            entry = area[at : at + length]
            if length < 4 or len(entry) != length:
                raise damaged(f"a Rock Ridge entry of byte {record.offset} has a wrong length")
            yield entry[:2], entry
            if entry[:2] == b"CE":
                areas.append(_continuation(image, entry, len(areas)))
            elif entry[:2] == b"ST":
                break
            at += length


def continuation_block(entry: bytes) -> int:
    """Return the block that a CE entry points to (SUSP 5.1)."""
    if len(entry) != 28:
        raise damaged("a Rock Ridge continuation entry has a wrong length")
    return both_endian(entry, 4, "a Rock Ridge continuation's block")


def _continuation(image: Overlay, entry: bytes, count: int) -> bytes:
    block = continuation_block(entry)
    offset = both_endian(entry, 12, "a continuation's offset")
    length = both_endian(entry, 20, "a continuation's length")
    if offset + length > BLOCK or count > _MOST_CONTINUATIONS:
        raise damaged(f"a Rock Ridge continuation at block {block} is out of range")
    return image.read(block * BLOCK + offset, length)


def moved(raw: bytes, extent: int, size: int) -> bytes:
    """Return a record that points elsewhere."""
    return raw[:2] + both(extent) + both(size) + raw[18:]


def make(
    identifier: bytes, extent: int, size: int, when: int, system_use: bytes, *, flags: int = 0
) -> bytes:
    """Make the record of a plain file, or a FOLDER, dated `when` (seconds since 1970) in UTC.

    Raises:
        ValueError: it would be longer than 255 bytes.
    """
    body = both(extent) + both(size) + date(when) + bytes([flags, 0, 0])
    body += struct.pack("<H", 1) + struct.pack(">H", 1) + bytes([len(identifier)]) + identifier
    body += b"\0" * ((len(identifier) + 1) % 2) + system_use
    body += b"\0" * (len(body) % 2)
    if len(body) + 2 > 255:
        raise ValueError("a directory record holds at most 255 bytes")
    return bytes([len(body) + 2, 0]) + body


def packed(raws: Sequence[bytes]) -> bytes:
    """Lay records one after another; none crosses a block (6.8.1.1)."""
    data = bytearray()
    for raw in raws:
        if len(data) % BLOCK + len(raw) > BLOCK:
            data += bytes(-len(data) % BLOCK)
        data += raw
    return bytes(data) + bytes(-len(data) % BLOCK)


def date(when: int) -> bytes:
    """Record a date as 9.1.5 wants it: years since 1900, to the second, zone 0."""
    at = time.gmtime(when)
    return bytes([at[0] - 1900, *at[1:6], 0])
