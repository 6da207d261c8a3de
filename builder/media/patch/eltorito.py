"""The boot catalog: what firmware starts from a CD. El Torito 1.0, sections 2.0 to 2.4."""

import struct
from dataclasses import dataclass

from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.refusal import damaged, unknown_layout

CATALOG_BYTES = 2048
_BOOTABLE, _EFI, _HEADERS = 0x88, 0xEF, (0x90, 0x91)


@dataclass(frozen=True, slots=True)
class BootEntries:
    """The blocks where the BIOS loader and the EFI image begin."""

    bios: int
    efi: int


def read_catalog(image: Overlay, block: int) -> BootEntries:
    """Read the two entries that both of EL9's layouts have.

    Raises:
        SourceError: damaged, or other entries.
    """
    raw = image.read(block * BLOCK, CATALOG_BYTES)
    words = sum(struct.unpack("<16H", raw[:32])) & 0xFFFF
    if raw[0] != 1 or raw[30:32] != b"\x55\xaa" or words:
        raise damaged(f"the boot catalog in block {block} is not valid")
    header = raw[64:96]
    if raw[1] != 0 or raw[32] != _BOOTABLE or header[0] not in _HEADERS or header[1] != _EFI:
        raise unknown_layout("its boot catalog does not have one entry for BIOS and one for UEFI")
    more = struct.unpack_from("<H", header, 2)[0] != 1 or header[0] == _HEADERS[0]
    if more or raw[96] != _BOOTABLE:
        raise unknown_layout("its boot catalog has more than two entries")
    return BootEntries(
        struct.unpack_from("<I", raw, 40)[0],
        struct.unpack_from("<I", raw, 104)[0],
    )
