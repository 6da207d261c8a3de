"""Add files and folders to the root folder of a tree, and move it when it no longer fits."""

from collections.abc import Iterator
from dataclasses import dataclass

from builder.media.errors import MediumError
from builder.media.patch.attributes import Attributes, with_links
from builder.media.patch.naming import Style, order
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import FOLDER, Record, in_folder, make, moved, packed, parse
from builder.media.patch.room import Room
from builder.media.patch.volume import Tree, set_root


@dataclass(frozen=True, slots=True)
class Added:
    """What is already placed: block, bytes and Rock Ridge serial number; `links` of a folder."""

    name: str
    extent: int
    size: int
    serial: int
    links: int = 0


def record_of(
    added: Added, identifier: bytes, attributes: Attributes, when: int, name: str | None = None
) -> bytes:
    """The record of something added, under its name unless another is given.

    Raises:
        MediumError: it does not fit into one record.
    """
    shown = added.name if name is None else name
    use = attributes.make(shown, when, added.serial, links=added.links)
    flags = FOLDER if added.links else 0
    try:
        return make(identifier, added.extent, added.size, when, use, flags=flags)
    except ValueError as error:
        raise MediumError(f"{added.name}: {error}", "use a shorter name") from error


def add_to_root(image: Overlay, tree: Tree, added: list[Added], when: int, room: Room) -> None:
    """Insert records, dated `when` (seconds since 1970), in the order of 9.3.

    Raises:
        SourceError: the folder is damaged.
        MediumError: a name that does not fit into a record.
    """
    old = list(tree.records(image))
    raws = [record.raw for record in old]
    keys = [order(tree.joliet, record.identifier) for record in old]
    taken = {record.identifier.upper() for record in old}
    style, attributes = Style.of(tree.joliet, old), Attributes.of(image, tree.joliet, old)
    for each in added:
        identifier = style.identifier(each.name, taken, folder=bool(each.links))
        key = order(tree.joliet, identifier)
        # Behind the two for the folder and its parent, in front of the first that is greater.
        place = next((n for n in range(2, len(raws)) if keys[n] > key), len(raws))
        raws.insert(place, record_of(each, identifier, attributes, when))
        keys.insert(place, key)
    folders = sum(1 for each in added if each.links)
    if folders and not tree.joliet:
        raws[:2] = [with_links(image, record, folders) for record in old[:2]]
    _store(image, tree, raws, room)


def _store(image: Overlay, tree: Tree, raws: list[bytes], room: Room) -> None:
    data = packed(raws)
    if len(data) <= tree.root.size:
        image.write(tree.root.extent * BLOCK, data.ljust(tree.root.size, b"\0"))
        return
    extent = room.take(len(data))
    raws = [moved(raws[0], extent, len(data)), moved(raws[1], extent, len(data)), *raws[2:]]
    image.write(extent * BLOCK, packed(raws))
    for parent in _links_to_parent(image, tree, raws):
        image.write(parent.offset, moved(parent.raw, extent, len(data)))
    set_root(image, tree, extent, len(data))


def _links_to_parent(image: Overlay, tree: Tree, raws: list[bytes]) -> Iterator[Record]:
    """Yield each subfolder's record of its parent.

    xorriso lets some Joliet ones point to the folder itself; those stay as they are.
    """
    for record in [parse(raw, 0) for raw in raws[2:]]:
        if record.is_folder:
            parent = list(in_folder(image, record.extent, record.size))[1]
            if parent.extent == tree.root.extent:
                yield parent
