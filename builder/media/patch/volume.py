"""The volume descriptors of an image and the directory trees that start there.

ECMA-119 section 8; Joliet 1.0 for the supplementary descriptor. Only what EL9's two layouts have
is let through: one primary descriptor with Rock Ridge, at most one supplementary with Joliet, one
boot record.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import SELF, Record, both, both_endian, in_folder, parse, susp
from builder.media.patch.refusal import damaged, unknown_layout

FIRST = 16
APPLICATION_USE, APPLICATION_USE_BYTES = 883, 512
_BOOT, _PRIMARY, _SUPPLEMENTARY, _END = 0, 1, 2, 255
_MOST_DESCRIPTORS = 16
_SIZE_AT, _ROOT_AT = 80, 156
_JOLIET = (b"%/@", b"%/C", b"%/E")
_EL_TORITO = b"EL TORITO SPECIFICATION"
# How far around the descriptors and the first folder another set of descriptors can lie: EL10's
# is 16 blocks behind the first, a session's 16 to 32 before its folders.
_LOOK = 64


@dataclass(frozen=True, slots=True)
class Tree:
    """One directory tree; `block` is its descriptor's."""

    block: int
    joliet: bool
    root: Record
    path_tables: tuple[tuple[int, str], ...]
    path_table_bytes: int

    def records(self, image: Overlay) -> Iterator[Record]:
        """Yield the root folder's records."""
        return in_folder(image, self.root.extent, self.root.size)


@dataclass(frozen=True, slots=True)
class Volume:
    """What the descriptors say: `blocks` is the volume's size, `catalog` El Torito's block."""

    blocks: int
    catalog: int
    end: int
    trees: tuple[Tree, ...]


def read_volume(image: Overlay) -> Volume:
    """Read and check the descriptors.

    Raises:
        SourceError: damaged, or a layout that cannot be patched; says which.
    """
    found = list(_descriptors(image))
    kinds = [raw[0] for _, raw in found]
    if kinds.count(_PRIMARY) != 1:
        raise unknown_layout(f"it has {kinds.count(_PRIMARY)} primary volume descriptors")
    if strange := set(kinds) - {_BOOT, _PRIMARY, _SUPPLEMENTARY, _END}:
        raise unknown_layout(f"volume descriptors of type {sorted(strange)}")
    if kinds[0] != _PRIMARY:
        raise unknown_layout("its first volume descriptor is not the primary one")
    trees = [_tree(image, block, raw) for block, raw in found if raw[0] == _PRIMARY]
    trees += [_tree(image, block, raw) for block, raw in found if raw[0] == _SUPPLEMENTARY]
    if len(trees) > 2:
        raise unknown_layout("it has more than one supplementary tree")
    primary = next(raw for _, raw in found if raw[0] == _PRIMARY)
    end = found[-1][0] + 1
    _refuse_other_structures(image, end, trees)
    _need_rock_ridge(image, trees[0])
    return Volume(_blocks(image, primary), _catalog(found), end, tuple(trees))


def _descriptors(image: Overlay) -> Iterator[tuple[int, bytes]]:
    for block in range(FIRST, FIRST + _MOST_DESCRIPTORS):
        raw = image.read(block * BLOCK, BLOCK)
        if raw[1:7] != b"CD001\1":
            if raw[0] == _SUPPLEMENTARY and raw[1:7] == b"CD001\2":
                raise unknown_layout("it has an enhanced volume descriptor (ISO 9660:1999)")
            raise damaged(f"block {block} is not a volume descriptor")
        yield block, raw
        if raw[0] == _END:
            return
    raise damaged("its volume descriptors have no end")


def _blocks(image: Overlay, raw: bytes) -> int:
    blocks = both_endian(raw, _SIZE_AT, "the volume's size")
    if blocks * BLOCK > image.size:
        raise damaged(f"it is cut short: {image.size} of {blocks * BLOCK} bytes")
    # Volume set size 1, number 1 of it, blocks of 2 KiB (8.4.10 to 8.4.12).
    if raw[120:132] != struct.pack("<H", 1) + struct.pack(">H", 1) + raw[120:124] + b"\0\x08\x08\0":
        raise unknown_layout("it is one of several discs, or its blocks are not 2048 bytes")
    return blocks


def _tree(image: Overlay, block: int, raw: bytes) -> Tree:
    joliet = raw[0] == _SUPPLEMENTARY
    if joliet and raw[88:91] not in _JOLIET:
        raise unknown_layout("it has a supplementary tree that is not Joliet")
    _blocks(image, raw)
    root = parse(raw[_ROOT_AT : _ROOT_AT + 34], block * BLOCK + _ROOT_AT)
    if root.identifier != SELF or not root.is_folder:
        raise damaged(f"the descriptor in block {block} has no root folder")
    size = both_endian(raw, 132, "the path table's size")
    # Type L little-endian and type M big-endian, each with an optional second copy (8.4.14-17).
    places = [
        (struct.unpack_from(f"{order}I", raw, at)[0], order)
        for at, order in ((140, "<"), (144, "<"), (148, ">"), (152, ">"))
    ]
    tables = tuple((place, order) for place, order in places if place)
    for place, order in tables:
        entry = image.read(place * BLOCK, 10)
        if entry[:2] != b"\1\0" or struct.unpack_from(f"{order}I", entry, 2)[0] != root.extent:
            raise damaged(f"the path table in block {place} does not begin with the root folder")
    return Tree(block, joliet, root, tables, size)


def _catalog(found: list[tuple[int, bytes]]) -> int:
    boots = [raw for _, raw in found if raw[0] == _BOOT]
    if len(boots) != 1 or not boots[0][7:].startswith(_EL_TORITO):
        raise unknown_layout("it has no El Torito boot record, or several")
    return int(struct.unpack_from("<I", boots[0], 71)[0])


def _refuse_other_structures(image: Overlay, end: int, trees: list[Tree]) -> None:
    """Look for UDF (ECMA-167 2/9.1: right behind) and for other sets of descriptors."""
    first = min([tree.root.extent for tree in trees] + [p for t in trees for p, _ in t.path_tables])
    near = set(range(end, min(end + _LOOK, first))) | set(range(max(end, first - _LOOK), first))
    for block in sorted(near):
        name = image.read(block * BLOCK, 6)[1:]
        if name in (b"BEA01", b"NSR02", b"NSR03"):
            raise unknown_layout("it also has a UDF file system")
        if name == b"CD001":
            raise unknown_layout(
                f"a second set of volume descriptors in block {block} "
                "(several sessions, or the layout of EL10)"
            )


def _need_rock_ridge(image: Overlay, tree: Tree) -> None:
    itself = next(tree.records(image))
    entries = dict(susp(image, itself))
    # SUSP 5.3: check bytes BE EF, and no bytes to skip in later records.
    if entries.get(b"SP", b"")[4:] != b"\xbe\xef\0" or b"PX" not in entries:
        raise unknown_layout("it has no Rock Ridge names")


def set_root(image: Overlay, tree: Tree, extent: int, size: int) -> None:
    """Let descriptor and path tables point to a moved root folder."""
    image.write(tree.root.offset + 2, both(extent) + both(size))
    for place, order in tree.path_tables:
        image.write(place * BLOCK + 2, struct.pack(f"{order}I", extent))


def grow(image: Overlay, volume: Volume, blocks: int) -> None:
    """Make the volume larger by `blocks` in every descriptor."""
    for tree in volume.trees:
        at = tree.block * BLOCK + _SIZE_AT
        old = both_endian(image.read(at, 8), 0, "the volume's size")
        image.write(at, both(old + blocks))
