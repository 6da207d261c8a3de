"""How a medium is laid out and what its structures contradict each other in.

Firmware reads one of them and never compares: a GPT with a wrong checksum starts in one machine and
not in the next. So each is checked here, and against the others.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from builder.media.errors import MediaError
from builder.media.iso9660 import BIOS_IMAGE, EFI_IMAGE
from builder.media.patch.eltorito import BootEntries, read_catalog
from builder.media.patch.fatfile import FatVolume
from builder.media.patch.hybrid import SECTOR, Gpt, read_gpt, read_mbr
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import PARENT, SELF, Record, in_folder
from builder.media.patch.refusal import damaged
from builder.media.patch.survey import name_of
from builder.media.patch.volume import Tree, Volume, read_volume

Value = TypeVar("Value")
_MBR_SECOND, _GPT_ENTRY, _SIGNATURE = 446 + 16, 128, b"EFI PART"
# Where the boot catalog has the UEFI entry's sector count (El Torito 1.0, 2.4).
_EFI_COUNT = 96 + 6
_SECTORS = BLOCK // SECTOR
_LOADERS = ("BOOTX64.EFI", "GRUBX64.EFI", "MMX64.EFI")


@dataclass(slots=True)
class Structures:
    """What `examine` found: part -> how it is laid out, and part -> what is wrong with it."""

    layout: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def part(self, name: str, check: Callable[[], tuple[str, Value]]) -> Value | None:
        """Note what `check` says of a part; its value, or None where it is damaged."""
        try:
            self.layout[name], value = check()
        except MediaError as error:
            self.damaged[name] = why(error)
            return None
        return value


def examine(image: Overlay) -> Structures:
    """Check the structures of a medium in EL9's layout that firmware starts from.

    Descriptors and both trees' boot images (ECMA-119), boot catalog (El Torito 1.0), FAT, MBR and
    both GPTs (UEFI 2.10, 5.3): checksums, copies, that all lies inside the file, and that each
    names the same two images. Nothing is read whole but the FAT's loaders.
    """
    found = Structures()
    if (volume := found.part("ISO 9660", lambda: _volume(image))) is None:
        return found
    if (entries := found.part("El Torito", lambda: _el_torito(image, volume))) is None:
        return found
    # Where the FAT can't be read, the tables still have to say where it lies.
    sectors = found.part("FAT", lambda: _fat(image, volume)) or 1
    found.part("MBR", lambda: _mbr(image, entries, sectors))
    found.part("GPT", lambda: _gpt(image, entries, sectors))
    return found


def why(error: MediaError) -> str:
    """What is wrong, without what it means for a source (`builder.media.patch.refusal`)."""
    return error.message.partition(": ")[2] or error.message


def check_gpt(image: Overlay, efi_block: int, sectors: int = 1) -> Gpt | None:
    """Check both copies of the GPT, and that one partition begins at `efi_block` and has `sectors`.

    Returns None when the medium has none at all.

    Raises:
        SourceError: damaged, or about something else.
    """
    gpt = read_gpt(image)
    if gpt is None:
        if image.read(image.size - SECTOR, len(_SIGNATURE)) == _SIGNATURE:
            raise damaged("its GPT is gone, and only the backup at its end is left")
        return None
    if zlib.crc32(gpt.entries) != struct.unpack_from("<I", gpt.backup_header, 88)[0]:
        raise damaged("the checksum of its partition entries is wrong in the backup GPT")
    if struct.unpack_from("<Q", gpt.backup_header, 32)[0] != 1:
        raise damaged("its backup GPT does not know where the first one is")
    # Usable sectors, and the disk's GUID.
    if gpt.header[40:72] != gpt.backup_header[40:72]:
        raise damaged("the two headers of its GPT differ")
    first = efi_block * _SECTORS
    spans = [
        struct.unpack_from("<QQ", gpt.entries, at + 32)
        for at in range(0, len(gpt.entries), _GPT_ENTRY)
        if any(gpt.entries[at : at + 16])
    ]
    if not any(start == first and end >= first + sectors - 1 for start, end in spans):
        raise damaged(f"no partition of its GPT is {EFI_IMAGE}")
    return gpt


def _volume(image: Overlay) -> tuple[str, Volume]:
    volume = read_volume(image)
    names = " and ".join("Joliet" if tree.joliet else "Rock Ridge" for tree in volume.trees)
    return f"{names} names, {volume.blocks} blocks of 2 KiB, {image.size} bytes", volume


def _el_torito(image: Overlay, volume: Volume) -> tuple[str, BootEntries]:
    entries = read_catalog(image, volume.catalog)
    for path, block in ((BIOS_IMAGE, entries.bios), (EFI_IMAGE, entries.efi)):
        for tree in volume.trees:
            if (record := _find(image, tree, path)).extent != block:
                raise damaged(f"its boot catalog starts block {block}, {path} is {record.extent}")
            _inside(image, record.extent * BLOCK + record.size, path)
    text = f"BIOS starts {BIOS_IMAGE} (block {entries.bios})"
    return f"{text}, UEFI {EFI_IMAGE} (block {entries.efi})", entries


def _fat(image: Overlay, volume: Volume) -> tuple[str, int]:
    record = _find(image, volume.trees[0], EFI_IMAGE)
    fat = FatVolume(image, record.extent * BLOCK, record.size)
    if not fat.tables_agree():
        raise damaged(f"the copies of the table in {EFI_IMAGE} differ")
    loaders = [each for name in _LOADERS for each in fat.find("EFI", "BOOT", name)]
    for loader in loaders:
        fat.read(loader)
    sectors = -(-fat.size // SECTOR)
    count = struct.unpack_from("<H", image.read(volume.catalog * BLOCK, BLOCK), _EFI_COUNT)[0]
    # EDK2 takes 0 and 1 for all the rest of the medium; so it is for images over 32 MiB.
    if 1 < count < sectors:
        raise damaged(f"its boot catalog gives {EFI_IMAGE} {count} of {sectors} sectors")
    names = ", ".join(sorted(loader.names[0] for loader in loaders))
    return f"FAT{fat.bits} of {fat.size} bytes in {EFI_IMAGE}, with {names}", sectors


def _mbr(image: Overlay, entries: BootEntries, sectors: int) -> tuple[str, None]:
    read_mbr(image, entries.efi)
    first, count = struct.unpack("<II", image.read(_MBR_SECOND + 8, 8))
    _inside(image, (first + count) * SECTOR, "the second partition of its MBR")
    if count < sectors:
        raise damaged(f"the second partition of its MBR has {count} of {sectors} sectors")
    return f"the whole image, and {EFI_IMAGE} (sector {first}, {count} sectors)", None


def _gpt(image: Overlay, entries: BootEntries, sectors: int) -> tuple[str, Gpt | None]:
    gpt = check_gpt(image, entries.efi, sectors)
    if gpt is None:
        return "none, so that a stick is started through the MBR or El Torito", None
    return f"the same two, with a backup that agrees (sector {gpt.backup})", gpt


def _inside(image: Overlay, end: int, what: str) -> None:
    if end > image.size:
        raise damaged(f"{what} ends at byte {end}, behind its last one, {image.size}")


def _find(image: Overlay, tree: Tree, path: str) -> Record:
    """A file's record in one tree. Raises SourceError when it is not there."""
    here = tree.root
    for part in path.split("/"):
        inside = _named(image, tree, here)
        found = next((record for name, record in inside if name == part), None)
        if found is None:
            raise damaged(f"it has no {path}")
        here = found
    return here


def _named(image: Overlay, tree: Tree, folder: Record) -> Iterator[tuple[str, Record]]:
    for record in in_folder(image, folder.extent, folder.size):
        if record.identifier not in (SELF, PARENT):
            yield name_of(image, tree, record), record
