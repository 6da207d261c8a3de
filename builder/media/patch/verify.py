"""Read a patched medium back, with pycdlib and with the patcher's own readers."""

import os
import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from builder.media.boot import GRUB_CONFIG
from builder.media.errors import MediumError, SourceError
from builder.media.iso9660 import BIOS_IMAGE, EFI_IMAGE
from builder.media.outline import outline
from builder.media.patch.eltorito import CATALOG_BYTES
from builder.media.patch.menus import OLD_GRUB_CONFIG, menus_in_fat
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.planning import Layout, Patch, read_layout
from builder.media.patch.room import Placed

_AGAIN = "build it again; if this stays so, the disk or memory is at fault"
# What pycdlib lets through when the bytes are not what the structures promise.
_PARSER_ERRORS = (PyCdlibException, struct.error, ValueError, LookupError, TypeError, EOFError)
_COMPARED_BYTES = 256 * 1024


def verify_patched(
    path: Path,
    tree: Mapping[str, bytes],
    source_path: Path,
    patch: Patch | None = None,
    *,
    every_block: bool = False,
) -> int:
    """Compare a medium with the tree and the source it was made from.

    Args:
        path: the medium.
        tree: what `patch_medium` was given.
        source_path: likewise.
        patch: the plan, which knows the source's layout; each of its blocks is compared with what
            is on the medium, and the files it placed with their checksums.
        every_block: read both files whole, and with `patch` accept no difference outside of it.

    Returns:
        How many blocks of 2 KiB differ from the source, those behind its end included, those of
        placed files not; with `every_block` counted, otherwise as planned (0 without a plan).

    Raises:
        MediumError: says what differs.
        SourceError: the source cannot be read.
    """
    wanted = {*tree, OLD_GRUB_CONFIG}
    with source_path.open("rb") as source_file, path.open("rb") as file:
        source = Overlay(source_file.fileno(), os.fstat(source_file.fileno()).st_size)
        medium = Overlay(file.fileno(), os.fstat(file.fileno()).st_size)
        before = patch.layout if patch else read_layout(source, wanted)
        try:
            after = read_layout(medium, wanted)
        except SourceError as error:
            raise MediumError(f"{path}: {error.message}", _AGAIN) from error
        _same_boot(path, source, before, medium, after)
        for text in menus_in_fat(medium, after.surveys[0].files[EFI_IMAGE]):
            _equal(text, tree[GRUB_CONFIG], f"{path}: {GRUB_CONFIG} inside {EFI_IMAGE}")
        _read_back(path, file, tree, after, patch.placed if patch else ())
        if patch is not None:
            _as_planned(path, medium, patch)
        if every_block:
            return _differences(path, source, medium, patch)
    return len(patch.overlay.blocks) if patch else 0


def _equal(there: bytes, wanted: bytes, what: str) -> None:
    if there != wanted:
        raise MediumError(f"{what} differs from what was written", _AGAIN)


def _same_boot(path: Path, source: Overlay, before: Layout, medium: Overlay, after: Layout) -> None:
    """The boot catalog is the source's, and what it starts is where it was."""
    place = before.volume.catalog
    catalog = source.read(place * BLOCK, CATALOG_BYTES)
    if after.volume.catalog != place or medium.read(place * BLOCK, CATALOG_BYTES) != catalog:
        raise MediumError(f"{path}: the boot catalog differs from the source's", _AGAIN)
    for name in (BIOS_IMAGE, EFI_IMAGE):
        if before.surveys[0].files[name].extent != after.surveys[0].files[name].extent:
            raise MediumError(f"{path}: {name} is not where the source has it", _AGAIN)


def _read_back(
    path: Path,
    file: BinaryIO,
    tree: Mapping[str, bytes],
    after: Layout,
    placed: Sequence[Placed],
) -> None:
    wanted = dict(tree)
    if OLD_GRUB_CONFIG in after.surveys[0].files:
        wanted[OLD_GRUB_CONFIG] = tree[GRUB_CONFIG]
    iso = PyCdlib()
    try:
        iso.open_fp(outline(file))
        try:
            for name, content in sorted(wanted.items()):
                _equal(_read(iso, {"rr_path": f"/{name}"}), content, f"{path}: {name}")
                if len(after.surveys) > 1:
                    there = _read(iso, {"joliet_path": f"/{name}"})
                    _equal(there, content, f"{path}: {name} in the Joliet tree")
            for each in placed:
                _placed(iso, path, each, joliet=len(after.surveys) > 1)
        finally:
            iso.close()
    except _PARSER_ERRORS as error:
        why = str(error).partition("\n")[0]
        raise MediumError(f"{path} cannot be read back ({why})", _AGAIN) from error


def _read(iso: PyCdlib, where: dict[str, str]) -> bytes:
    with iso.open_file_from_iso(**where) as opened:
        return bytes(opened.read())


def _placed(iso: PyCdlib, path: Path, each: Placed, *, joliet: bool) -> None:
    """The file is under its name in each tree, and its one copy of data is what was checked."""
    for where in ("rr_path", "joliet_path") if joliet else ("rr_path",):
        record = iso.get_record(**{where: f"/{each.path}"})
        there = (record.extent_location(), record.get_data_length())
        if there != (each.extent, each.file.size):
            raise MediumError(f"{path}: {each.path} lies elsewhere in one of the trees", _AGAIN)
    with iso.open_file_from_iso(rr_path=f"/{each.path}") as opened:
        each.file.check(cast(BinaryIO, opened), f"{path}: {each.path}")


def _as_planned(path: Path, medium: Overlay, patch: Patch) -> None:
    if medium.size != patch.size:
        raise MediumError(f"{path} has {medium.size} bytes, not {patch.size}", _AGAIN)
    for number, data in patch.overlay.blocks.items():
        _equal(medium.read(number * BLOCK, BLOCK), data, f"{path}: block {number}")


def _is_placed(placed: Sequence[Placed], block: int) -> bool:
    at = bisect_right(placed, block, key=lambda each: each.end)
    return at < len(placed) and placed[at].extent <= block


def _differences(path: Path, source: Overlay, medium: Overlay, patch: Patch | None) -> int:
    count = 0
    for start in range(0, medium.size, _COMPARED_BYTES):
        there = medium.read(start, min(_COMPARED_BYTES, medium.size - start))
        held = max(0, min(len(there), source.size - start))
        old = source.read(start, held).ljust(len(there), b"\0") if held else bytes(len(there))
        if there == old:
            continue
        for at in range(0, len(there), BLOCK):
            if there[at : at + BLOCK] != old[at : at + BLOCK]:
                count += 1
                number = (start + at) // BLOCK
                if patch is not None and _is_placed(patch.placed, number):
                    count -= 1
                elif patch is not None and number not in patch.overlay.blocks:
                    raise MediumError(f"{path}: block {number} differs from the source", _AGAIN)
    return count
