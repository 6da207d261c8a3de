"""The free blocks of an image, and what is placed in them."""

from dataclasses import dataclass

from builder.media.local import LocalFile
from builder.media.patch.overlay import BLOCK


class Room:
    """Hands out the blocks behind the last used one, in order."""

    def __init__(self, first: int) -> None:
        self.next = first

    def take(self, size: int) -> int:
        """Return the first of the blocks for `size` bytes; an empty file gets one, too."""
        first = self.next
        self.next += max(1, -(-size // BLOCK))
        return first


@dataclass(frozen=True, slots=True)
class Placed:
    """A file of this machine, the path it gets on the medium, and the block it begins at."""

    path: str
    file: LocalFile
    extent: int

    @property
    def end(self) -> int:
        """The block behind its last one."""
        return self.extent + max(1, -(-self.file.size // BLOCK))
