"""Write a bootable ISO 9660 image in the layout of an EL9 installation medium.

El Torito for BIOS (isolinux) and UEFI (a FAT image), and an isohybrid MBR and GPT, so that the
same bytes boot from CD, from a BMC's virtual medium and from a USB stick.
"""

import io
import posixpath
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from pycdlib import PyCdlib
from pycdlib.isohybrid import GPT, GPTPartHeader

from builder.media.errors import MediumError
from builder.media.frozen import pycdlib_at
from builder.media.local import LocalFile

Progress = Callable[[int, int], None]

BIOS_IMAGE = "isolinux/isolinux.bin"
EFI_IMAGE = "images/efiboot.img"
CATALOG = "isolinux/boot.cat"

# isolinux: four 512-byte sectors are loaded, the rest it loads itself (syslinux doc/isolinux.txt).
_BIOS_LOAD_SECTORS = 4
# El Torito 1.0, section entry: the sector count is 16 bits wide.
_EFI_MOST_BYTES = 0xFFFF * 512
# ECMA-119 7.6.3 without the relocation that Rock Ridge would need.
_DEEPEST = 8
_GPT_ENTRIES = 128


@dataclass(frozen=True)
class Streamed:
    """Content that stays where it is until it is written: a seekable stream and its length."""

    stream: BinaryIO
    length: int


def check_volume_id(volume_id: str) -> None:
    """Refuse labels that a kernel command line or boot loader would need quoting for.

    32 characters are ECMA-119's limit (8.4.7).

    Raises:
        MediumError: with the rule.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", volume_id):
        raise MediumError(
            f"volume id {volume_id!r} cannot be used",
            "use 1 to 32 letters, digits, '_', '-' or '.'",
        )


def write_iso(
    out: BinaryIO,
    files: Mapping[str, bytes | Streamed | LocalFile],
    *,
    volume_id: str,
    when: int,
    progress: Progress | None = None,
) -> None:
    """Write `files` (path -> content) as one bootable image with Rock Ridge names.

    `files` has to hold `BIOS_IMAGE` and `EFI_IMAGE`. No Joliet: its label ends after 16
    characters, and nothing that boots looks at it. The same arguments give the same bytes.

    Args:
        out: binary file, empty and seekable.
        files: what goes in; streams have to stay open until this returns.
        volume_id: the label, also what identifies partitions and MBR.
        when: the date of everything, seconds since 1970.
        progress: called with bytes done and bytes in all.

    Raises:
        MediumError: a label, path or image that cannot be written.
        OSError: from `out` or a stream.
    """
    check_volume_id(volume_id)
    if _streamed(files[EFI_IMAGE]).length > _EFI_MOST_BYTES:
        raise MediumError(
            f"the EFI loaders need more than {_EFI_MOST_BYTES} bytes",
            "use an unmodified EL9 installation ISO as source",
        )
    names = _iso_names([*files, CATALOG])
    iso = PyCdlib()
    with pycdlib_at(when):
        iso.new(interchange_level=3, vol_ident=volume_id, rock_ridge="1.09", sys_ident="LINUX")
        try:
            _add(iso, files, names)
            _make_bootable(iso, names, f"{volume_id} {when}")
            iso.write_fp(out, progress_cb=_three_arguments(progress))
        finally:
            iso.close()


def _three_arguments(progress: Progress | None) -> Callable[[int, int, object], None] | None:
    """pycdlib counts the parameters of what it is given; a bound method would confuse it."""
    return (lambda done, total, _: progress(done, total)) if progress else None


def _add(
    iso: PyCdlib, files: Mapping[str, bytes | Streamed | LocalFile], names: Mapping[str, str]
) -> None:
    for path, name in sorted(names.items()):
        if path not in files and path != CATALOG:
            iso.add_directory(name, rr_name=posixpath.basename(path), file_mode=0o040755)
    for path, content in sorted(files.items()):
        name = posixpath.basename(path)
        if isinstance(content, LocalFile):
            # Opened only while it is written: there may be thousands.
            iso.add_file(str(content.path), names[path], rr_name=name, file_mode=0o100444)
            continue
        part = _streamed(content)
        iso.add_fp(part.stream, part.length, names[path], rr_name=name, file_mode=0o100444)


def _streamed(content: bytes | Streamed | LocalFile) -> Streamed:
    if isinstance(content, LocalFile):
        raise TypeError(f"{content.path} is no boot image")
    if isinstance(content, Streamed):
        return content
    return Streamed(io.BytesIO(content), len(content))


def _make_bootable(iso: PyCdlib, names: Mapping[str, str], seed: str) -> None:
    iso.add_eltorito(
        names[BIOS_IMAGE],
        bootcatfile=names[CATALOG],
        rr_bootcatname=posixpath.basename(CATALOG),
        boot_load_size=_BIOS_LOAD_SECTORS,
        boot_info_table=True,
    )
    iso.add_eltorito(names[EFI_IMAGE], platform_id=0xEF, efi=True)
    # Without efi=True pycdlib fails only in write(), with an internal error.
    iso.add_isohybrid(efi=True, mbr_id=uuid.uuid5(uuid.NAMESPACE_OID, seed).int & 0xFFFFFFFF)
    hybrid = iso.isohybrid_mbr
    if hybrid is None:
        raise TypeError("pycdlib made no isohybrid record")
    for table in (hybrid.primary_gpt, hybrid.secondary_gpt):
        _settle_gpt(table, seed)


def _settle_gpt(table: GPT, seed: str) -> None:
    """Give both tables the same identity and a checksum over all their entries.

    pycdlib 1.22 draws random GUIDs for each of the two and sums only the entries in use, where
    UEFI 2.10 (5.3.2) wants the whole array.
    """
    table.header.disk_guid = uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} disk")
    for number, part in enumerate(table.parts):
        part.part_guid = uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {number}")
    while len(table.parts) < _GPT_ENTRIES:
        unused = GPTPartHeader()
        unused.new(True, "")
        unused.part_type_guid = bytes(16)
        unused.part_guid = uuid.UUID(int=0)
        table.parts.append(unused)


def _iso_names(paths: Iterable[str]) -> dict[str, str]:
    """Map every path and each of its folders to its ISO 9660 name.

    isolinux reads these, not the Rock Ridge names, and compares without regard to case; so names
    that can stay, stay.
    """
    names: dict[str, str] = {"": ""}
    taken: set[str] = set()
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) > _DEEPEST or not all(parts) or {".", ".."} & set(parts):
            raise MediumError(f"path {path!r} cannot be on a medium", "rename it in the tree")
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            if here not in names:
                parent = names["/".join(parts[: depth - 1])]
                names[here] = _free_name(parent, parts[depth - 1], depth == len(parts), taken)
    del names[""]
    return names


def _free_name(parent: str, name: str, is_file: bool, taken: set[str]) -> str:
    stem, dot, extension = name.rpartition(".") if is_file else (name, "", "")
    if not dot:
        stem, extension = name, ""
    stem, extension = (re.sub(r"[^A-Z0-9_]", "_", part.upper()) for part in (stem, extension))
    # ECMA-119 7.5.1: name and extension are at most 30 characters together, a folder's name 31.
    extension = extension[:8]
    stem = stem[: 30 - len(extension)]
    end = f".{extension};1" if is_file else ""
    candidate = f"{parent}/{stem}{end}"
    number = 0
    while candidate in taken:
        number += 1
        suffix = f"_{number}"
        candidate = f"{parent}/{stem[: 30 - len(extension) - len(suffix)]}{suffix}{end}"
    taken.add(candidate)
    return candidate
