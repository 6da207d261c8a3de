"""Decide every changed block of a patched medium before one is written."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from builder.media.boot import GRUB_CONFIG
from builder.media.errors import MediumError
from builder.media.iso9660 import BIOS_IMAGE, EFI_IMAGE
from builder.media.local import LocalFile
from builder.media.patch import folders, hybrid, volume
from builder.media.patch.checksum import BLANK, SKIPPED_BLOCKS
from builder.media.patch.eltorito import read_catalog
from builder.media.patch.hybrid import SECTOR, Gpt
from builder.media.patch.menus import OLD_GRUB_CONFIG, replace_in_fat
from builder.media.patch.naming import check_name
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.pathtable import add_folders
from builder.media.patch.records import Record, both
from builder.media.patch.refusal import damaged, unknown_layout
from builder.media.patch.room import Placed, Room
from builder.media.patch.root import Added, add_to_root
from builder.media.patch.survey import Survey, survey
from builder.media.patch.volume import APPLICATION_USE, FIRST, Volume, read_volume
from builder.media.source import MANIFEST, customised

# What xorriso and genisoimage leave at the end, for drives that read ahead on a burnt disc.
_PADDING_BLOCKS = 150
_MEBIBYTE_BLOCKS = 512
# Both builders leave far less than this behind the last file.
_MOST_PADDING = 64 * 1024 * 1024
# An MBR counts 2^32 sectors of 512 bytes; no medium comes near.
_MOST_SOURCE = 1 << 40
# A record's date has one byte for years since 1900 (9.1.5).
_LATEST = 8_000_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """All that was learnt of a source; `limit` is the block where free space ends."""

    volume: Volume
    gpt: Gpt | None
    surveys: tuple[Survey, ...]
    first_free: int
    limit: int


@dataclass(frozen=True, slots=True)
class Patch:
    """The plan: the source's layout, changed blocks, new size in bytes, the volume's in blocks.

    `placed` are files whose data is streamed, by rising blocks; none of these is in the overlay.
    """

    layout: Layout
    overlay: Overlay
    size: int
    volume_blocks: int
    placed: tuple[Placed, ...] = ()

    @property
    def placed_bytes(self) -> int:
        """How much is streamed."""
        return sum(each.file.size for each in self.placed)


def read_layout(image: Overlay, wanted: set[str]) -> Layout:
    """Learn a source's layout and refuse unknown ones.

    Raises:
        SourceError: damaged, or not one of EL9's two layouts.
    """
    if image.size > _MOST_SOURCE:
        raise unknown_layout(f"it has {image.size} bytes")
    if image.size % BLOCK:
        raise damaged(f"its size, {image.size} bytes, is not made of blocks of {BLOCK}")
    found = read_volume(image)
    surveys = tuple(
        survey(image, found, tree, wanted | {EFI_IMAGE, BIOS_IMAGE}) for tree in found.trees
    )
    for other in surveys[1:]:
        _same_files(surveys[0], other)
    entries = read_catalog(image, found.catalog)
    files = surveys[0].files
    for path, block in ((BIOS_IMAGE, entries.bios), (EFI_IMAGE, entries.efi)):
        if path not in files or files[path].extent != block:
            raise unknown_layout(f"its boot catalog does not start {path}")
    hybrid.read_mbr(image, entries.efi)
    gpt = hybrid.read_gpt(image)
    first_free = max(each.end for each in surveys)
    if first_free > found.blocks:
        raise damaged(f"its files end at block {first_free}, the volume at {found.blocks}")
    # The end of the volume is not covered by the media checksum, so that no data may be there.
    limit = found.blocks - SKIPPED_BLOCKS
    if gpt is not None:
        limit = min(limit, gpt.backup_begin * SECTOR // BLOCK)
    _need_zeros(image, first_free, gpt)
    return Layout(found, gpt, surveys, first_free, limit)


def _same_files(primary: Survey, other: Survey) -> None:
    ours = {path: (r.extent, r.size) for path, r in primary.files.items()}
    if ours != {path: (r.extent, r.size) for path, r in other.files.items()}:
        raise unknown_layout("its Rock Ridge and Joliet trees have different files")


def _need_zeros(image: Overlay, first: int, gpt: Gpt | None) -> None:
    """Nothing but the backup GPT may stand behind the last file."""
    begin, end = first * BLOCK, image.size
    if end - begin > _MOST_PADDING:
        raise unknown_layout(f"{end - begin} bytes behind its last file")
    if gpt is not None:
        end = gpt.backup_begin * SECTOR
        gap = (gpt.backup_entries_at * SECTOR + len(gpt.entries), gpt.backup * SECTOR)
        if begin > end:
            raise damaged("its backup GPT overlaps its files")
        if image.read(gap[0], gap[1] - gap[0]).strip(b"\0"):
            raise unknown_layout("there is data between its backup GPT's parts")
    step = 1024 * 1024
    for at in range(begin, end, step):
        if image.read(at, min(step, end - at)).strip(b"\0"):
            raise unknown_layout(
                "there is data behind its last file (a later session, or checksums)"
            )


def plan_patch(
    descriptor: int,
    size: int,
    tree: Mapping[str, bytes],
    extras: Mapping[str, LocalFile],
    *,
    when: int,
    force: bool,
) -> Patch:
    """Plan the patch of an open source.

    Args:
        descriptor: of the source, for reading.
        size: the source's bytes.
        tree: path -> content.
        extras: path in a new folder -> file that is streamed.
        when: date of added records, seconds since 1970.
        force: take a source that ksbuild has patched before.

    Raises:
        SourceError: the source cannot be patched; the hint names the other modes.
        MediumError: the tree cannot be put on it.
        RefusedError: ksbuild patched it before.
    """
    if not 0 <= when < _LATEST:
        raise MediumError(f"{when} seconds since 1970 are no date", "check SOURCE_DATE_EPOCH")
    image = Overlay(descriptor, size)
    folders.check_paths(extras)
    new = {path.split("/")[0] for path in extras}
    layout = read_layout(image, {*tree, *new, OLD_GRUB_CONFIG, MANIFEST})
    if MANIFEST in layout.surveys[0].files and not force:
        raise customised(f"the source has {MANIFEST}: ksbuild made it from another")
    if taken := sorted(new & {*layout.surveys[0].folders, *layout.surveys[0].files, *tree}):
        raise MediumError(
            f"the source has {taken[0]} already", "use the distribution's own ISO, unmodified"
        )
    end, placed = _apply(image, layout, tree, extras, when, more=0)
    more = 0
    if end > layout.limit:
        old = size // BLOCK
        short = max(end - layout.limit, end + _PADDING_BLOCKS - layout.volume.blocks)
        more = -(-(old + short) // _MEBIBYTE_BLOCKS) * _MEBIBYTE_BLOCKS - old
        image = Overlay(descriptor, size)
        _, placed = _apply(image, layout, tree, extras, when, more=more)
    image.write(FIRST * BLOCK + APPLICATION_USE, BLANK)
    blocks = layout.volume.blocks + more
    return Patch(layout, image, size + more * BLOCK, blocks, tuple(placed))


def _apply(
    image: Overlay,
    layout: Layout,
    tree: Mapping[str, bytes],
    extras: Mapping[str, LocalFile],
    when: int,
    *,
    more: int,
) -> tuple[int, list[Placed]]:
    """Make all changes with the image larger by `more` blocks; return the first free block."""
    if more:
        # First, because the old backup GPT makes room for data.
        hybrid.grow(image, layout.gpt, more)
        volume.grow(image, layout.volume, more)
    room = Room(layout.first_free)
    files = layout.surveys[0].files
    contents = dict(tree)
    if OLD_GRUB_CONFIG in files:
        contents[OLD_GRUB_CONFIG] = tree[GRUB_CONFIG]
    added: list[Added] = []
    serials = itertools.count(max(each.serial for each in layout.surveys) + 1)
    for path, content in sorted(contents.items()):
        extent = room.take(len(content))
        image.write(extent * BLOCK, content.ljust(-(-len(content) // BLOCK) * BLOCK, b"\0"))
        if path in files:
            _point(image, layout, path, extent, len(content))
        else:
            _check_new(path, layout)
            added.append(Added(path, extent, len(content), next(serials)))
    replace_in_fat(image, files[EFI_IMAGE], tree[GRUB_CONFIG])
    placed = folders.place(extras, room)
    for each in placed:
        # The old backup GPT may have been here.
        image.forget(each.extent, each.end)
    branch = folders.grown(placed, serials)
    for one in layout.volume.trees:
        if placed:
            folders.write_folders(image, one, branch, when, room)
        listed = add_folders(image, one, branch, room) if placed else one
        tops = [each.added() for each in branch.sorted_folders(one.joliet)]
        add_to_root(image, listed, [*tops, *added], when, room)
    return room.next, placed


def _point(image: Overlay, layout: Layout, path: str, extent: int, size: int) -> None:
    """Let a file's record in every tree point to its new data.

    The old data stays: another name may share it.
    """
    for each in layout.surveys:
        record: Record = each.files[path]
        image.write(record.offset + 2, both(extent) + both(size))


def _check_new(path: str, layout: Layout) -> None:
    if path in layout.surveys[0].folders:
        raise MediumError(f"{path} is a folder on the source", "rename it in the tree")
    if "/" in path:
        raise MediumError(
            f"{path} is not on the source, and only the root folder takes new files",
            "put it in the root of the tree",
        )
    check_name(path)
