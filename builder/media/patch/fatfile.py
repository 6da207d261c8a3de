"""Replace files inside a FAT12 or FAT16 image without mounting it.

Structure after Microsoft's "FAT: General Overview of On-Disk Format", version 1.03 (fatgen103).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from builder.media.errors import MediumError
from builder.media.patch.overlay import Overlay
from builder.media.patch.refusal import damaged, unknown_layout

_ENTRY = 32
_LONG, _VOLUME, _FOLDER = 0x0F, 0x08, 0x10
_FREE, _END = 0xE5, 0x00
_MOST_ENTRIES = 65536
# fatgen103, "FAT Type Determination".
_FAT12_BELOW, _FAT16_BELOW = 4085, 65525


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder: `offset` is where its 32 bytes stand on the image."""

    offset: int
    names: tuple[str, ...]
    is_folder: bool
    first: int
    size: int


class FatVolume:
    """A FAT file system at a byte offset of an image: FAT`bits`, of `size` bytes."""

    def __init__(self, image: Overlay, start: int, size: int) -> None:
        """Read the boot sector and the table.

        Raises:
            SourceError: not FAT12 or FAT16, or damaged.
        """
        self._image = image
        self._start = start
        raw = image.read(start, 512)
        sector, per_cluster, reserved, self._copies, self._roots, small = struct.unpack_from(
            "<HBHBHH", raw, 11
        )
        self._sectors_per_fat = struct.unpack_from("<H", raw, 22)[0]
        total = small or struct.unpack_from("<I", raw, 32)[0]
        if raw[510:512] != b"\x55\xaa" or sector not in (512, 1024, 2048, 4096):
            raise damaged("images/efiboot.img is not a FAT file system")
        if not self._roots or not self._sectors_per_fat:
            raise unknown_layout("images/efiboot.img is FAT32")
        if not (per_cluster and reserved and self._copies and total * sector <= size):
            raise damaged("images/efiboot.img has an impossible size")
        self._fat_at = start + reserved * sector
        self._fat_bytes = self._sectors_per_fat * sector
        self._root_at = self._fat_at + self._copies * self._fat_bytes
        self._data_at = self._root_at + -(-self._roots * _ENTRY // sector) * sector
        self._cluster = per_cluster * sector
        self._clusters = (start + total * sector - self._data_at) // self._cluster
        if not 0 < self._clusters < _FAT16_BELOW:
            raise damaged("images/efiboot.img has an impossible number of clusters")
        self.size = total * sector
        self.bits = 12 if self._clusters < _FAT12_BELOW else 16
        if (self._clusters + 2) * self.bits > self._fat_bytes * 8:
            raise damaged("images/efiboot.img has too small a table")
        self._cells = self._load()

    def find(self, *parts: str) -> list[Entry]:
        """Return the entries below a path, whatever the case: none when it is not there.

        The last part may match several, by long or by short name.
        """
        folders: list[Entry | None] = [None]
        for part in parts[:-1]:
            folders = [e for f in folders for e in self._named(f, part) if e.is_folder]
        return [e for f in folders for e in self._named(f, parts[-1]) if not e.is_folder]

    def read(self, entry: Entry) -> bytes:
        """Return a file's content.

        Raises:
            SourceError: its clusters do not hold it.
        """
        chain = self._chain(entry.first) if entry.size else []
        if len(chain) * self._cluster < entry.size:
            raise damaged(f"{entry.names[0]} in images/efiboot.img is cut short")
        data = b"".join(self._image.read(self._at(number), self._cluster) for number in chain)
        return data[: entry.size]

    def replace(self, entry: Entry, content: bytes) -> None:
        """Give a file other content; its names and dates stay.

        Its own clusters are used first, then the lowest free ones; those left over are freed.

        Raises:
            MediumError: there is no room.
            SourceError: damaged.
        """
        chain = self._chain(entry.first) if entry.first else []
        needed = -(-len(content) // self._cluster)
        free = (number for number in range(2, self._clusters + 2) if not self._cells[number])
        while len(chain) < needed:
            if (number := next(free, None)) is None:
                raise MediumError(
                    f"images/efiboot.img has no room for a menu of {len(content)} bytes",
                    "use --mode boot, which makes its own, or --mode oemdrv",
                )
            chain.append(number)
        for number in chain[needed:]:
            self._cells[number] = 0
        chain = chain[:needed]
        for number, following in zip(chain, [*chain[1:], (1 << self.bits) - 1], strict=False):
            self._cells[number] = following
        for index, number in enumerate(chain):
            piece = content[index * self._cluster : (index + 1) * self._cluster]
            self._image.write(self._at(number), piece.ljust(self._cluster, b"\0"))
        first = chain[0] if chain else 0
        self._image.write(entry.offset + 26, struct.pack("<HI", first, len(content)))
        self._save()

    def tables_agree(self) -> bool:
        """Whether every copy of the table is the same; which one is read differs by firmware."""
        places = [self._fat_at + copy * self._fat_bytes for copy in range(self._copies)]
        first, *others = (self._image.read(place, self._fat_bytes) for place in places)
        return all(other == first for other in others)

    def _load(self) -> list[int]:
        count = self._clusters + 2
        raw = self._image.read(self._fat_at, -(-count * self.bits // 8))
        if self.bits == 16:
            return list(struct.unpack_from(f"<{count}H", raw))
        pairs = (int.from_bytes(raw[at : at + 3], "little") for at in range(0, len(raw), 3))
        cells = [cell for pair in pairs for cell in (pair & 0xFFF, pair >> 12)]
        return cells[:count]

    def _save(self) -> None:
        cells = self._cells
        if self.bits == 16:
            raw = struct.pack(f"<{len(cells)}H", *cells)
        else:
            even = [*cells, 0] if len(cells) % 2 else cells
            pairs = zip(even[::2], even[1::2], strict=True)
            raw = b"".join((low | high << 12).to_bytes(3, "little") for low, high in pairs)
            raw = raw[: -(-len(cells) * 12 // 8)]
        for copy in range(self._copies):
            self._image.write(self._fat_at + copy * self._fat_bytes, raw)

    def _at(self, number: int) -> int:
        return int(self._data_at + (number - 2) * self._cluster)

    def _chain(self, first: int) -> list[int]:
        chain: list[int] = []
        number = first
        # Bad clusters are F7, ends F8 to FF, with leading F for the type.
        last = (1 << self.bits) - 9
        while number < last:
            if not 2 <= number < self._clusters + 2 or len(chain) >= self._clusters:
                raise damaged("images/efiboot.img has a broken chain of clusters")
            chain.append(number)
            number = self._cells[number]
        if number == last:
            raise damaged("images/efiboot.img has a bad cluster inside a file")
        return chain

    def _named(self, folder: Entry | None, name: str) -> list[Entry]:
        wanted = name.casefold()
        return [e for e in self._entries(folder) if wanted in map(str.casefold, e.names)]

    def _places(self, folder: Entry | None) -> Iterator[int]:
        """Yield where the 32 bytes of each entry stand."""
        if folder is None:
            yield from range(self._root_at, self._root_at + self._roots * _ENTRY, _ENTRY)
            return
        for number in self._chain(folder.first):
            yield from range(self._at(number), self._at(number) + self._cluster, _ENTRY)

    def _entries(self, folder: Entry | None) -> Iterator[Entry]:
        long: list[bytes] = []
        for count, place in enumerate(self._places(folder)):
            raw = self._image.read(place, _ENTRY)
            if raw[0] == _END:
                return
            if count > _MOST_ENTRIES:
                raise damaged("a folder of images/efiboot.img has too many entries")
            if raw[0] == _FREE:
                long = []
            elif raw[11] & 0x3F == _LONG:
                # Thirteen characters in three places; the last piece of a name comes first.
                long.insert(0, raw[1:11] + raw[14:26] + raw[28:32])
            else:
                if not raw[11] & _VOLUME:
                    yield _entry(place, raw, b"".join(long))
                long = []


def _entry(place: int, raw: bytes, long: bytes) -> Entry:
    stem, extension = (part.decode("latin-1").rstrip() for part in (raw[:8], raw[8:11]))
    names = [f"{stem}.{extension}" if extension else stem]
    if long:
        names.insert(0, long.decode("utf-16-le", "replace").split("\0")[0])
    first, size = struct.unpack_from("<HI", raw, 26)
    return Entry(place, tuple(names), bool(raw[11] & _FOLDER), first, size)
