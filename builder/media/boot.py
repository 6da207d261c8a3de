"""Mode `boot`: a small medium with loaders, kernel, installer and the profile's tree.

Written from scratch, never by opening and rewriting the source: pycdlib's rewrite leaves the
grub.cfg inside images/efiboot.img as it was, so that a USB stick under UEFI would start the stock
menu without the kickstart.
"""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from builder.media import readback
from builder.media.errors import MediumError
from builder.media.fat import fat_image
from builder.media.iso9660 import BIOS_IMAGE, EFI_IMAGE, Progress, Streamed, write_iso
from builder.media.local import LocalFile
from builder.media.readback import AGAIN
from builder.media.source import REQUIRED, Source

GRUB_CONFIG = "EFI/BOOT/grub.cfg"
ISOLINUX_CONFIG = "isolinux/isolinux.cfg"
# Not the medium's own label: on a stick, hd:LABEL= would find either of the two.
EFI_LABEL = "KSB-ESP"
EFI_REQUIRED = ("EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi")
# Secure Boot's key manager, and the font GRUB draws a graphical menu with.
EFI_OPTIONAL = ("EFI/BOOT/mmx64.efi", "EFI/BOOT/fonts/unicode.pf2")
_PLATFORM_EFI = 0xEF
STAGE2 = "images/install.img"
# Up to here isolinux.bin holds its own place on the medium (mkisofs(8)).
_BOOT_INFORMATION_END = 64


def write_boot_medium(
    out: BinaryIO,
    tree: Mapping[str, bytes],
    source: Source,
    *,
    volume_id: str,
    when: int,
    stage2: bool = False,
    extras: Mapping[str, LocalFile] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the medium: `tree` plus loaders, kernel and initrd of `source`.

    The same arguments give the same bytes.

    Args:
        out: binary file, empty and seekable.
        tree: path -> content, with both boot menus.
        source: where the loaders and the installer come from.
        volume_id: label of the medium, 1 to 32 of A-Z a-z 0-9 _ . -
        when: date of everything on it, seconds since 1970 (SOURCE_DATE_EPOCH).
        stage2: take the installer's image (images/install.img) along.
        extras: path -> file that is streamed.
        progress: called with bytes done and bytes in all.

    Raises:
        MediumError: a menu is missing, or the tree has a path the writer brings itself.
        SourceError: the source cannot be read.
        OSError: `out` cannot be written.
    """
    if volume_id.upper() == EFI_LABEL:
        raise MediumError(
            f"volume id {volume_id} is the EFI system partition's label", "choose another"
        )
    if missing := {GRUB_CONFIG, ISOLINUX_CONFIG} - tree.keys():
        raise MediumError(f"the tree has no {', '.join(sorted(missing))}", "report this")
    copied = {path: source.stream(path) for path in _copied(source, stage2=stage2)}
    if twice := tree.keys() & (copied.keys() | {EFI_IMAGE}):
        raise MediumError(f"the tree brings {', '.join(sorted(twice))}", "report this")
    for file in (extras or {}).values():
        file.check_size()
    image = {EFI_IMAGE: efi_image(tree[GRUB_CONFIG], source)}
    files: dict[str, bytes | Streamed | LocalFile] = {**(extras or {}), **copied, **tree, **image}
    write_iso(out, files, volume_id=volume_id, when=when, progress=progress)


def _copied(source: Source, *, stage2: bool) -> list[str]:
    optional = [path for path in EFI_OPTIONAL if source.has(path)]
    optional += [STAGE2] if stage2 else []
    return [path for path in REQUIRED if path != GRUB_CONFIG] + optional


def expected_bytes(
    tree: Mapping[str, bytes],
    source: Source,
    extras: Mapping[str, LocalFile] | None = None,
    *,
    stage2: bool = False,
) -> int:
    """About how many bytes the medium will have, loaders twice (ISO and EFI partition), 1 MiB over.

    Raises:
        SourceError: the source cannot be read.
    """
    copied = sum(source.stream(path).length for path in _copied(source, stage2=stage2))
    loaders = sum(source.stream(path).length for path in EFI_REQUIRED)
    # A block and a record for each.
    streamed = sum(file.size + 2560 for file in (extras or {}).values())
    return copied + 2 * loaders + sum(map(len, tree.values())) + streamed + 1024 * 1024


def efi_image(grub_config: bytes, source: Source) -> bytes:
    """Make images/efiboot.img: the loaders of `source` with the medium's own menu.

    Firmware that ignores El Torito on a disk starts GRUB from this FAT, and GRUB then reads the
    menu beside it instead of the one on the ISO.
    """
    paths = [*EFI_REQUIRED, *(path for path in EFI_OPTIONAL if source.has(path))]
    files = {path.upper(): source.read(path) for path in paths}
    files[GRUB_CONFIG.upper()] = grub_config
    serial = zlib.crc32(b"".join(content for _, content in sorted(files.items())))
    return fat_image(files, label=EFI_LABEL, serial=serial)


def verify_boot_medium(
    path: Path,
    tree: Mapping[str, bytes],
    volume_id: str,
    source: Source | None = None,
    extras: Mapping[str, LocalFile] | None = None,
    *,
    stage2: bool = False,
) -> None:
    """Read a written medium back and compare it with what it was made from.

    Args:
        path: the medium.
        tree: what `write_boot_medium` was given.
        volume_id: likewise.
        source: compare loaders, kernel and initrd, too.
        extras: what `write_boot_medium` was given.
        stage2: likewise; it is compared with the source's.

    Raises:
        MediumError: says what differs.
    """
    with readback.opened(path, volume_id) as iso:
        for name, content in sorted(tree.items()):
            readback.compare(iso, path, name, content)
        _verify_extras(iso, path, extras or {})
        if source is not None:
            _verify_copies(iso, path, tree, source, _copied(source, stage2=stage2))
        _verify_boot_entries(iso, path, tree)


def _verify_extras(iso: PyCdlib, path: Path, extras: Mapping[str, LocalFile]) -> None:
    for name, file in sorted(extras.items()):
        try:
            with iso.open_file_from_iso(rr_path=f"/{name}") as opened:
                file.check(cast(BinaryIO, opened), f"{path}: {name}")
        except PyCdlibException as error:
            raise MediumError(f"{path}: {name} cannot be read ({error})", AGAIN) from error


def _verify_copies(
    iso: PyCdlib, path: Path, tree: Mapping[str, bytes], source: Source, copied: list[str]
) -> None:
    for name in copied:
        skip = _BOOT_INFORMATION_END if name == BIOS_IMAGE else 0
        readback.compare_stream(iso, path, name, source.stream(name), skip=skip)
    readback.compare(iso, path, EFI_IMAGE, efi_image(tree[GRUB_CONFIG], source))


def _extent(iso: PyCdlib, name: str) -> int:
    return int(iso.get_record(rr_path=f"/{name}").extent_location())


def _verify_boot_entries(iso: PyCdlib, path: Path, tree: Mapping[str, bytes]) -> None:
    catalog = iso.eltorito_boot_catalog
    if catalog is None or not catalog.sections:
        raise MediumError(f"{path} has no El Torito entries for BIOS and UEFI", AGAIN)
    bios, section = catalog.initial_entry, catalog.sections[0]
    if bios.boot_indicator != 0x88 or bios.get_rba() != _extent(iso, BIOS_IMAGE):
        raise MediumError(f"{path}: the BIOS entry does not start {BIOS_IMAGE}", AGAIN)
    loader = readback.read(iso, path, BIOS_IMAGE)
    if loader[8:24] != _boot_info_table(loader, iso.pvd.extent_location(), bios.get_rba()):
        raise MediumError(f"{path}: {BIOS_IMAGE} has a wrong boot information table", AGAIN)
    efi, image = section.section_entries[0], readback.read(iso, path, EFI_IMAGE)
    if (
        section.platform_id != _PLATFORM_EFI
        or efi.get_rba() != _extent(iso, EFI_IMAGE)
        or efi.sector_count * 512 != len(image)
    ):
        raise MediumError(f"{path}: the UEFI entry does not start {EFI_IMAGE}", AGAIN)
    if tree[GRUB_CONFIG] not in image:
        raise MediumError(f"{path}: {EFI_IMAGE} has another {GRUB_CONFIG}", AGAIN)


def _boot_info_table(loader: bytes, descriptor: int, start: int) -> bytes:
    """mkisofs(8), "EL TORITO BOOT INFORMATION TABLE"."""
    words = loader[64:].ljust(-(-(len(loader) - 64) // 4) * 4, b"\0")
    total = sum(word for (word,) in struct.iter_unpack("<I", words)) & 0xFFFFFFFF
    return struct.pack("<IIII", descriptor, start, len(loader), total)
