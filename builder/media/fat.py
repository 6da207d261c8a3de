"""A small FAT12/FAT16 file system for an EFI system partition, as a pure function.

Structure and figures follow Microsoft's "FAT: General Overview of On-Disk Format", version 1.03
(fatgen103), which the UEFI specification (section 13.3) makes the format of a system partition.
"""

import re
import struct
from collections.abc import Iterator, Mapping

_SECTOR = 512
_CLUSTER_SECTORS = 4
_CLUSTER = _SECTOR * _CLUSTER_SECTORS
_RESERVED_SECTORS = 1
_FATS = 2
_ROOT_ENTRIES = 512
_ROOT_SECTORS = _ROOT_ENTRIES * 32 // _SECTOR
# The count of clusters alone decides the type (fatgen103, "FAT Type Determination"); it advises
# to stay 16 clusters away from each limit, because not every driver draws the line there.
_FAT12_MOST = 4085 - 16
_FAT16_LEAST = 4085 + 16
_FAT16_MOST = 65525 - 16
_MEDIA = 0xF8
_DIRECTORY, _VOLUME, _ARCHIVE = 0x10, 0x08, 0x20
_DATE_1980_01_01 = 0x0021
_NAME = re.compile(r"([A-Z0-9_~$!#%&@^(){}'`-]{1,8})(?:\.([A-Z0-9_~$!#%&@^(){}'`-]{1,3}))?")

_Tree = dict[str, "bytes | _Tree"]


def fat_image(files: Mapping[str, bytes], *, label: str, serial: int) -> bytes:
    """Make the image of a FAT volume that holds `files`.

    Args:
        files: path with upper-case 8.3 parts ("EFI/BOOT/GRUB.CFG") -> content.
        label: volume label, at most 11 characters of A-Z 0-9 _ - and blank.
        serial: volume serial number, 32 bits.

    Returns:
        The image, its size a multiple of 2048 bytes; the same arguments give the same bytes.

    Raises:
        ValueError: a name or label that FAT cannot hold, a file where a folder is needed, or
            more than 128 MiB.
    """
    if not re.fullmatch(r"[A-Z0-9_ -]{1,11}", label):
        raise ValueError(f"volume label {label!r} is not 1 to 11 of A-Z 0-9 _ - and blank")
    tree = _tree(files)
    if len(tree) + 1 > _ROOT_ENTRIES:
        raise ValueError(f"{len(tree)} entries do not fit the root folder")
    data = _Data()
    volume = _entry(label.ljust(11).encode(), _VOLUME, 0, 0)
    root = volume + data.store_children(tree, parent=0)
    return _assemble(data, root, label, serial)


def _tree(files: Mapping[str, bytes]) -> _Tree:
    root: _Tree = {}
    for path, content in sorted(files.items()):
        *folders, name = path.split("/")
        place = root
        for folder in folders:
            inner = place.setdefault(_checked(folder), {})
            if isinstance(inner, bytes):
                raise ValueError(f"{path}: {folder} is a file")
            place = inner
        if name in place:
            raise ValueError(f"{path} is a folder")
        place[_checked(name)] = content
    return root


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not an upper-case 8.3 name")
    return name


class _Data:
    """The cluster area; every file and folder is contiguous."""

    def __init__(self) -> None:
        self.area = bytearray()
        self.chains: list[int] = []

    def reserve(self, size: int) -> int:
        """Take clusters for `size` bytes and return the first one's number, 0 for none."""
        count = -(-size // _CLUSTER)
        if not count:
            return 0
        first = 2 + len(self.area) // _CLUSTER
        self.area += bytes(count * _CLUSTER)
        self.chains.append(count)
        return first

    def put(self, first: int, content: bytes) -> None:
        start = (first - 2) * _CLUSTER
        self.area[start : start + len(content)] = content

    def store_children(self, tree: _Tree, parent: int) -> bytes:
        """Store everything below a folder and return the folder's entries."""
        entries = b""
        for name, node in tree.items():
            short = _short(name)
            if isinstance(node, bytes):
                first = self.reserve(len(node))
                if first:
                    self.put(first, node)
                entries += _entry(short, _ARCHIVE, first, len(node))
            else:
                first = self.reserve((2 + len(node)) * 32)
                dots = _entry(b".".ljust(11), _DIRECTORY, first, 0)
                dots += _entry(b"..".ljust(11), _DIRECTORY, parent, 0)
                self.put(first, dots + self.store_children(node, first))
                entries += _entry(short, _DIRECTORY, first, 0)
        return entries


def _short(name: str) -> bytes:
    stem, _, extension = name.partition(".")
    return (stem.ljust(8) + extension.ljust(3)).encode()


def _entry(name: bytes, attributes: int, first: int, size: int) -> bytes:
    return struct.pack("<11sB10xHHHI", name, attributes, 0, _DATE_1980_01_01, first, size)


def _assemble(data: _Data, root: bytes, label: str, serial: int) -> bytes:
    clusters = max(1, len(data.area) // _CLUSTER)
    if clusters > _FAT12_MOST:
        clusters = max(clusters, _FAT16_LEAST)
    if clusters > _FAT16_MOST:
        raise ValueError(f"{len(data.area)} bytes are more than a FAT16 volume holds here")
    bits = 12 if clusters <= _FAT12_MOST else 16
    fat_sectors = -(-(clusters + 2) * bits // (8 * _SECTOR))
    system = _RESERVED_SECTORS + _FATS * fat_sectors + _ROOT_SECTORS
    total = system + clusters * _CLUSTER_SECTORS
    # Sectors beyond the last whole cluster are allowed, and make the image end with an ISO block.
    total += -total % _CLUSTER_SECTORS
    fat = _fat(data.chains, bits).ljust(fat_sectors * _SECTOR, b"\0")
    image = _boot_sector(total, fat_sectors, bits, label, serial) + fat * _FATS
    image += root.ljust(_ROOT_SECTORS * _SECTOR, b"\0") + data.area
    return image.ljust(total * _SECTOR, b"\0")


def _links(chains: list[int], end: int) -> Iterator[int]:
    number = 2
    for count in chains:
        yield from range(number + 1, number + count)
        yield end
        number += count


def _fat(chains: list[int], bits: int) -> bytes:
    end = (1 << bits) - 1
    cells = [end & ~0xFF | _MEDIA, end, *_links(chains, end)]
    if bits == 16:
        return struct.pack(f"<{len(cells)}H", *cells)
    cells += [0] * (len(cells) % 2)
    pairs = zip(cells[::2], cells[1::2], strict=True)
    return b"".join((low | high << 12).to_bytes(3, "little") for low, high in pairs)


def _boot_sector(total: int, fat_sectors: int, bits: int, label: str, serial: int) -> bytes:
    """The BIOS parameter block; heads and sectors per track are what nobody reads any more."""
    sector = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s",
        b"\xeb\x3c\x90",
        b"KSBUILD ",
        _SECTOR,
        _CLUSTER_SECTORS,
        _RESERVED_SECTORS,
        _FATS,
        _ROOT_ENTRIES,
        total if total < 0x10000 else 0,
        _MEDIA,
        fat_sectors,
        32,
        64,
        0,
        total if total >= 0x10000 else 0,
        0x80,
        0,
        0x29,
        serial,
        label.ljust(11).encode(),
        f"FAT{bits}".ljust(8).encode(),
    )
    return sector.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"
