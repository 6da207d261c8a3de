"""Add a folder tree to an image: its folders' records here; its files' data is streamed later."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from builder.media.errors import MediumError
from builder.media.local import LocalFile
from builder.media.patch.attributes import Attributes
from builder.media.patch.naming import Style, check_inner_name, check_name, order
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import PARENT, SELF, packed
from builder.media.patch.room import Placed, Room
from builder.media.patch.root import Added, record_of
from builder.media.patch.volume import Tree

# ECMA-119 6.8.2.1: eight levels, the root being the first.
_DEEPEST = 8


@dataclass(slots=True)
class Branch:
    """A folder that is added: what is in it, and, while a tree gets its records, where it lies."""

    name: str
    serial: int = 0
    folders: dict[str, "Branch"] = field(default_factory=dict)
    files: dict[str, Added] = field(default_factory=dict)
    identifier: bytes = b""
    extent: int = 0
    size: int = 0

    def added(self) -> Added:
        """The folder as its parent records it."""
        return Added(self.name, self.extent, self.size, self.serial, 2 + len(self.folders))

    def walk(self) -> Iterator["Branch"]:
        """Yield it and all folders below."""
        yield self
        for branch in self.folders.values():
            yield from branch.walk()

    def sorted_folders(self, joliet: bool) -> "list[Branch]":
        """The folders in it, as records and path tables have them."""
        return sorted(self.folders.values(), key=lambda each: order(joliet, each.identifier))


def check_paths(files: Mapping[str, LocalFile]) -> None:
    """Refuse what no tree can hold.

    Raises:
        MediumError: says which path.
    """
    for path, file in files.items():
        top, *inner = path.split("/")
        check_name(top)
        for name in inner:
            check_inner_name(name, path)
        if not 1 <= len(inner) <= _DEEPEST - 1:
            raise MediumError(f"{path!r} is not in a folder, or too deep", "move it")
        file.check_size()


def place(files: Mapping[str, LocalFile], room: Room) -> list[Placed]:
    """Give each file its blocks, in the order of their paths."""
    return [Placed(path, file, room.take(file.size)) for path, file in sorted(files.items())]


def grown(placed: list[Placed], serials: Iterator[int]) -> Branch:
    """The folders for what was placed, below one that stands for the root."""
    root = Branch("")
    for each in placed:
        *folders, name = each.path.split("/")
        branch = root
        for folder in folders:
            branch = branch.folders.setdefault(folder, Branch(folder))
            branch.serial = branch.serial or next(serials)
        branch.files[name] = Added(name, each.extent, each.file.size, next(serials))
    return root


def write_folders(image: Overlay, tree: Tree, root: Branch, when: int, room: Room) -> None:
    """Write the records of every folder below `root` into one tree; the root's own come later.

    Raises:
        SourceError: the tree's root folder is damaged.
        MediumError: a name that does not fit into a record.
    """
    old = list(tree.records(image))
    style, attributes = Style.of(tree.joliet, old), Attributes.of(image, tree.joliet, old)
    root.extent, root.size = tree.root.extent, tree.root.size
    taken = {record.identifier.upper() for record in old}
    files: dict[int, list[tuple[bytes, Added]]] = {}
    for branch in root.walk():
        for below in branch.folders.values():
            below.identifier = style.identifier(below.name, taken, folder=True)
        files[id(branch)] = [(style.identifier(f.name, taken), f) for f in branch.files.values()]
        taken = set()
    writer = _Writer(tree.joliet, attributes, when, files)
    branches = [(parent, branch) for parent in root.walk() for branch in parent.folders.values()]
    # Lengths do not depend on where anything lies.
    for parent, branch in branches:
        branch.size = len(writer.data(branch, parent))
        branch.extent = room.take(branch.size)
    for parent, branch in branches:
        image.write(branch.extent * BLOCK, writer.data(branch, parent))


@dataclass(frozen=True, slots=True)
class _Writer:
    joliet: bool
    attributes: Attributes
    when: int
    files: Mapping[int, list[tuple[bytes, Added]]]

    def data(self, branch: Branch, parent: Branch) -> bytes:
        """A folder's blocks: itself, its parent, then the rest in the order of 9.3."""
        inside = [(b.identifier, b.added()) for b in branch.folders.values()]
        inside += self.files[id(branch)]
        inside.sort(key=lambda pair: order(self.joliet, pair[0]))
        raws = [self._raw(SELF, branch.added(), ""), self._raw(PARENT, parent.added(), "")]
        return packed(raws + [self._raw(identifier, each) for identifier, each in inside])

    def _raw(self, identifier: bytes, added: Added, name: str | None = None) -> bytes:
        return record_of(added, identifier, self.attributes, self.when, name)
