"""Walk a whole directory tree: where its data ends, and where the files in question stand."""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import (
    PARENT,
    SELF,
    Record,
    both_endian,
    continuation_block,
    in_folder,
    susp,
)
from builder.media.patch.refusal import damaged, unknown_layout
from builder.media.patch.volume import Tree, Volume

# An EL9 DVD has about a megabyte of folders; the limits only keep hostile ones short.
_MOST_FOLDERS = 65536
_MOST_FOLDER_BYTES = 64 * 1024 * 1024
_NM_CONTINUES, _NM_SPECIAL = 0x01, 0x06


@dataclass(slots=True)
class Survey:
    """What a walk found.

    Attributes:
        end: the block behind the last one that anything of the tree uses.
        files: path -> record of the wanted files that are there.
        folders: paths of folders on the way to wanted files.
        serial: the highest Rock Ridge file serial number (P1282 4.1.1), 0 without any.
    """

    end: int
    files: dict[str, Record] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {""})
    serial: int = 0
    _folder_bytes: int = 0


def name_of(image: Overlay, tree: Tree, record: Record) -> str:
    """Return a record's name as users see it in this tree: Rock Ridge's, or Joliet's."""
    if tree.joliet:
        return record.identifier.decode("utf-16-be", "replace").removesuffix(";1")
    name = b""
    for signature, entry in susp(image, record):
        if signature == b"NM" and len(entry) > 5 and not entry[4] & _NM_SPECIAL:
            name += entry[5:]
            if not entry[4] & _NM_CONTINUES:
                break
    return name.decode("utf-8", "replace")


def survey(image: Overlay, volume: Volume, tree: Tree, wanted: Set[str]) -> Survey:
    """Walk every folder of a tree once.

    Raises:
        SourceError: loops, extents outside the image, compressed files, or what a reader of
            records raises.
    """
    found = Survey(max([volume.end, volume.catalog + 1, *_path_table_ends(tree)]))
    parents = {path[: path.rfind("/")] if "/" in path else "" for path in wanted}
    parents |= {"/".join(p.split("/")[:n]) for p in parents for n in range(p.count("/") + 1)}
    seen: set[int] = set()
    todo: list[tuple[Record, str | None]] = [(tree.root, "")]
    while todo:
        folder, path = todo.pop()
        if folder.extent in seen or len(seen) > _MOST_FOLDERS:
            raise damaged(f"the folder at block {folder.extent} is inside itself, or too many are")
        seen.add(folder.extent)
        _count(found, folder)
        for record in in_folder(image, folder.extent, folder.size):
            _account(image, tree, record, found)
            if record.identifier in (SELF, PARENT):
                continue
            here = None
            if path is not None:
                name = name_of(image, tree, record)
                here = f"{path}/{name}" if path else name
                _note(here, record, found, wanted, parents)
            if record.is_folder:
                todo.append((record, here if here in parents else None))
    if found.end * BLOCK > image.size:
        raise damaged(f"its files need {found.end * BLOCK} bytes, and it has {image.size}")
    return found


def _path_table_ends(tree: Tree) -> Iterator[int]:
    for place, _ in tree.path_tables:
        yield place + -(-tree.path_table_bytes // BLOCK)


def _count(found: Survey, folder: Record) -> None:
    found._folder_bytes += folder.size
    if found._folder_bytes > _MOST_FOLDER_BYTES:
        raise damaged(f"its folders need more than {_MOST_FOLDER_BYTES} bytes")


def _account(image: Overlay, tree: Tree, record: Record, found: Survey) -> None:
    if record.size:
        found.end = max(found.end, record.extent + -(-record.size // BLOCK))
    if tree.joliet:
        return
    for signature, entry in susp(image, record):
        if signature == b"ZF":
            raise unknown_layout("some of its files are compressed (zisofs)")
        if signature == b"CE":
            found.end = max(found.end, continuation_block(entry) + 1)
        elif signature == b"PX" and len(entry) >= 44:
            found.serial = max(found.serial, both_endian(entry, 36, "a file serial number"))


def _note(path: str, record: Record, found: Survey, wanted: Set[str], parents: Set[str]) -> None:
    if record.is_folder:
        if path in parents or path in wanted:
            found.folders.add(path)
        return
    if path in wanted:
        if path in found.files or not record.is_simple:
            raise unknown_layout(f"{path} is recorded in several parts")
        found.files[path] = record
