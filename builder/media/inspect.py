"""Read a finished medium back: the files ksbuild put on it, and where it starts from."""

import contextlib
import io
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from builder.media.boot import GRUB_CONFIG
from builder.media.errors import MediaError, SourceError
from builder.media.outline import outline
from builder.media.patch.eltorito import BootEntries, read_catalog
from builder.media.patch.fatfile import FatVolume
from builder.media.patch.hybrid import read_mbr
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.volume import read_volume
from builder.media.source import check_whole
from builder.media.structures import Structures, check_gpt, examine, why
from builder.plan import manifest

BOOTS = ("BIOS CD", "BIOS USB", "UEFI CD", "UEFI USB")
_PARSER_ERRORS = (PyCdlibException, struct.error, ValueError, LookupError, TypeError, EOFError)
_NOT_OURS = "give a medium that ksbuild iso wrote"
_MBR_CODE, _ACTIVE, _FIRST_PARTITION = 440, 0x80, 446


def read_tree(path: Path) -> dict[str, bytes]:
    """Path -> content of the manifest and every file it names that is there.

    Raises:
        SourceError: not an ISO, or none that ksbuild wrote.
        OSError: the file cannot be read.
    """
    with _parsed(path) as iso:
        try:
            files = {manifest.PATH: _read(iso, manifest.PATH)}
            for name in manifest.read(files[manifest.PATH])["files"]:
                # The manifest check names what is missing.
                with contextlib.suppress(PyCdlibException):
                    files[name] = _read(iso, name)
        except _PARSER_ERRORS as error:
            what = f"{path} has no readable {manifest.PATH}: {error}"
            raise SourceError(what, _NOT_OURS) from error
    return files


@contextlib.contextmanager
def opening(path: Path, folder: str) -> Iterator[Callable[[str], BinaryIO]]:
    """Yield what opens files of a folder of the medium for reading, however large.

    Raises:
        SourceError: not an ISO; from the opener, no such file.
    """
    with _parsed(path) as iso:

        def opener(name: str) -> BinaryIO:
            try:
                return cast(BinaryIO, iso.open_file_from_iso(rr_path=f"/{folder}/{name}"))
            except _PARSER_ERRORS as error:
                raise SourceError(f"{path} has no {folder}/{name}", _NOT_OURS) from error

        yield opener


@contextlib.contextmanager
def _parsed(path: Path) -> Iterator[PyCdlib]:
    """Open a medium by its outline: neither a DVD's packages nor broken tables are in the way."""
    with path.open("rb") as file:
        check_whole(path, file)
        iso = PyCdlib()
        try:
            iso.open_fp(outline(file, tables=False))
        except _PARSER_ERRORS as error:
            raise SourceError(f"{path} is not an ISO image ({error})", _NOT_OURS) from error
        try:
            yield iso
        finally:
            iso.close()


def structures(path: Path) -> Structures:
    """How a medium that starts by itself is laid out, and what contradicts itself in it.

    Raises OSError when the file cannot be read.
    """
    with _opened(path) as image:
        return examine(image)


def boots(path: Path, tree: Mapping[str, bytes]) -> dict[str, str]:
    """For each of BOOTS why the medium does not start from there, "" where it does.

    Judged by its structures, as firmware reads them: El Torito (1.0), MBR, FAT; and whether the
    menu that would be read is the one of `tree`. Raises OSError when the file cannot be read.
    """
    with _opened(path) as image:
        return {
            "BIOS CD": _reason(lambda: _bios_cd(image)),
            "BIOS USB": _reason(lambda: _bios_usb(image)),
            "UEFI CD": _reason(lambda: _uefi(image, tree)),
            "UEFI USB": _reason(lambda: _uefi_usb(image, tree)),
        }


def _reason(check: Callable[[], str]) -> str:
    try:
        return check()
    except MediaError as error:
        return why(error)


def _bios_cd(image: Overlay) -> str:
    start = _entries(image).bios * BLOCK
    # isolinux's boot info table (mkisofs(8), -boot-info-table) says where it lies itself.
    _, itself = struct.unpack_from("<II", image.read(start, 64), 8)
    return "" if itself * BLOCK == start else "isolinux.bin does not know its own place"


def _bios_usb(image: Overlay) -> str:
    read_mbr(image, _entries(image).efi)
    mbr = image.read(0, 512)
    if not any(mbr[:_MBR_CODE]):
        return "the MBR has no boot code"
    return "" if mbr[_FIRST_PARTITION] == _ACTIVE else "no partition in the MBR is active"


def _uefi(image: Overlay, tree: Mapping[str, bytes]) -> str:
    start = _entries(image).efi * BLOCK
    volume = FatVolume(image, start, image.size - start)
    if not volume.find("EFI", "BOOT", "BOOTX64.EFI"):
        return "the EFI partition has no EFI/BOOT/BOOTX64.EFI"
    menus = volume.find("EFI", "BOOT", "GRUB.CFG")
    if [volume.read(menu) for menu in menus] != [tree.get(GRUB_CONFIG)]:
        return "the EFI partition's menu is not the medium's own: it would start without kickstart"
    return ""


def _uefi_usb(image: Overlay, tree: Mapping[str, bytes]) -> str:
    efi = _entries(image).efi
    read_mbr(image, efi)
    check_gpt(image, efi)
    return _uefi(image, tree)


def _entries(image: Overlay) -> BootEntries:
    return read_catalog(image, read_volume(image).catalog)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Overlay]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Overlay(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _read(iso: PyCdlib, name: str) -> bytes:
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
    return out.getvalue()
