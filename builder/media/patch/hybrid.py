"""The partition tables of a hybrid image: an MBR, and a GPT with its backup at the end.

UEFI 2.10 section 5.2.1 (MBR), 5.3 (GPT). On EL9's media both describe overlapping partitions: the
whole image, and images/efiboot.img inside it.
"""

import struct
import zlib
from dataclasses import dataclass

from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.refusal import damaged, unknown_layout

SECTOR = 512
_SECTORS_PER_BLOCK = BLOCK // SECTOR
_MBR_TABLE, _MBR_ENTRY = 446, 16
_EFI_SYSTEM = 0xEF
_GPT_ENTRY = 128
# ECMA-119 6.2.1: the first sixteen blocks are not the file system's.
_SYSTEM_AREA = 16 * BLOCK
_MOST_ENTRIES = 1024
# A cylinder number has ten bits.
_LAST_CYLINDER = 1023


@dataclass(frozen=True, slots=True)
class Gpt:
    """A checked GPT; numbers are sectors of 512 bytes, `header` the primary one's bytes."""

    header: bytes
    entries: bytes
    entries_at: int
    backup: int
    backup_header: bytes
    backup_entries_at: int

    @property
    def backup_begin(self) -> int:
        """The first sector that the backup uses."""
        return min(self.backup, self.backup_entries_at)


def read_mbr(image: Overlay, efi_block: int) -> None:
    """Check that the MBR has the two partitions of EL9's layouts and no others.

    Raises:
        SourceError: it has not.
    """
    raw = image.read(0, SECTOR)
    if raw[510:] != b"\x55\xaa":
        raise unknown_layout("it has no partition table, so that it would not start from USB")
    table = [raw[at : at + _MBR_ENTRY] for at in range(_MBR_TABLE, 510, _MBR_ENTRY)]
    whole, system, *others = [(entry[4], *struct.unpack("<II", entry[8:])) for entry in table]
    if (whole[1] + whole[2]) * SECTOR != image.size or whole[1]:
        raise unknown_layout("its first partition is not the whole image")
    if system[0] != _EFI_SYSTEM or system[1] != efi_block * _SECTORS_PER_BLOCK:
        raise unknown_layout("its second partition is not images/efiboot.img")
    if any(any(entry) for entry in others):
        raise unknown_layout("it has more than two partitions")


def read_gpt(image: Overlay) -> Gpt | None:
    """Read both copies of the GPT; None when there is none.

    Raises:
        SourceError: a copy is damaged or the two differ.
    """
    header = image.read(SECTOR, SECTOR)
    if header[:8] != b"EFI PART":
        return None
    _check_header(header, 1, "the GPT")
    backup, entries_at = struct.unpack_from("<Q", header, 32)[0], _entries_at(header)
    if (backup + 1) * SECTOR != image.size:
        raise unknown_layout("its GPT does not end with the image")
    backup_header = image.read(backup * SECTOR, SECTOR)
    _check_header(backup_header, backup, "the backup GPT")
    length = _entries_length(header)
    entries = image.read(entries_at * SECTOR, length)
    backup_at = _entries_at(backup_header)
    if backup_at * SECTOR + length > backup * SECTOR:
        raise damaged("its backup GPT overlaps its own header")
    if (entries_at * SECTOR + length) > _SYSTEM_AREA:
        raise unknown_layout("its GPT lies between its files")
    if zlib.crc32(entries) != struct.unpack_from("<I", header, 88)[0]:
        raise damaged("the checksum of its partition entries is wrong")
    if image.read(backup_at * SECTOR, length) != entries:
        raise damaged("the two copies of its GPT differ")
    ends = [struct.unpack_from("<Q", entries, at + 40)[0] for at in range(0, length, _GPT_ENTRY)]
    ends += [struct.unpack_from("<Q", raw, 48)[0] for raw in (header, backup_header)]
    if max(ends) > backup:
        raise damaged("its GPT describes more than the image")
    return Gpt(header, entries, entries_at, backup, backup_header, backup_at)


def _entries_at(header: bytes) -> int:
    return int(struct.unpack_from("<Q", header, 72)[0])


def _entries_length(header: bytes) -> int:
    count, size = struct.unpack_from("<II", header, 80)
    if size != _GPT_ENTRY or not 0 < count <= _MOST_ENTRIES:
        raise unknown_layout(f"its GPT has {count} entries of {size} bytes")
    return int(count * size)


def _check_header(header: bytes, sector: int, what: str) -> None:
    length = struct.unpack_from("<I", header, 12)[0]
    if not 92 <= length <= SECTOR or header[:8] != b"EFI PART":
        raise damaged(f"{what} has no valid header")
    if struct.unpack_from("<I", header, 16)[0] != _header_crc(header):
        raise damaged(f"the checksum of {what} is wrong")
    if struct.unpack_from("<Q", header, 24)[0] != sector:
        raise damaged(f"{what} is not where it says it is")


def _header_crc(header: bytes) -> int:
    length = struct.unpack_from("<I", header, 12)[0]
    return zlib.crc32(header[:16] + bytes(4) + header[20:length])


def grow(image: Overlay, gpt: Gpt | None, blocks: int) -> None:
    """Let both tables describe an image that is longer by `blocks` blocks of 2 KiB."""
    more = blocks * _SECTORS_PER_BLOCK
    sectors = image.size // SECTOR + more
    last_head, track = image.read(_MBR_TABLE + 5, 2)
    # Old BIOSes guess a stick's geometry from this address, so head and track length stay.
    if track := track & 0x3F:
        cylinder = min(-(-sectors // ((last_head + 1) * track)) - 1, _LAST_CYLINDER)
        end = bytes([last_head, track | cylinder >> 8 << 6, cylinder & 0xFF])
        image.write(_MBR_TABLE + 5, end)
    image.write(_MBR_TABLE + 12, struct.pack("<I", sectors))
    if gpt is not None:
        _grow_gpt(image, gpt, more)


def _grow_gpt(image: Overlay, gpt: Gpt, more: int) -> None:
    entries = bytearray(gpt.entries)
    for at in range(0, len(entries), _GPT_ENTRY):
        first, last = struct.unpack_from("<QQ", entries, at + 32)
        # The one that begins at 0 is the image; its end keeps its distance from the image's end.
        if any(entries[at : at + 16]) and first == 0:
            struct.pack_into("<Q", entries, at + 40, last + more)
    crc = zlib.crc32(entries)
    old = gpt.backup_begin * SECTOR
    image.write(old, bytes((gpt.backup + 1) * SECTOR - old))
    image.write(gpt.entries_at * SECTOR, bytes(entries))
    image.write((gpt.backup_entries_at + more) * SECTOR, bytes(entries))
    image.write(SECTOR, _header(gpt.header, 1, gpt.backup + more, gpt.entries_at, more, crc))
    backup = gpt.backup + more
    entries_at = gpt.backup_entries_at + more
    image.write(backup * SECTOR, _header(gpt.backup_header, backup, 1, entries_at, more, crc))


def _header(old: bytes, here: int, other: int, entries_at: int, more: int, crc: int) -> bytes:
    new = bytearray(old)
    last_usable = struct.unpack_from("<Q", old, 48)[0] + more
    struct.pack_into("<QQ", new, 24, here, other)
    struct.pack_into("<Q", new, 48, last_usable)
    struct.pack_into("<Q", new, 72, entries_at)
    struct.pack_into("<I", new, 88, crc)
    struct.pack_into("<I", new, 16, _header_crc(bytes(new)))
    return bytes(new)
