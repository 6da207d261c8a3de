"""A copy-on-write view of an image: changes stay in memory until the whole plan is known."""

import os
from collections.abc import Iterator

from builder.media.errors import SourceError
from builder.media.patch.refusal import damaged

BLOCK = 2048
# More than an EL9 plan needs by far; a plan larger than this is a mistake, not a medium.
_MOST_CHANGED = 32 * 1024 * 1024 // BLOCK


class Overlay:
    """Blocks of 2 KiB laid over a file that is only ever read.

    Offsets and lengths are bytes. Blocks behind the file's end can be written, and are zero until
    then; reading one that was not written is an error, as is any other read past the end.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.blocks: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes.

        Raises:
            SourceError: the image ends before, or the disk refuses.
        """
        first, end = offset // BLOCK, -(-(offset + length) // BLOCK)
        if not any(block in self.blocks for block in range(first, end)):
            return self._source(offset, length)
        data = b"".join(self._block(block) for block in range(first, end))
        start = offset - first * BLOCK
        return data[start : start + length]

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes; a block that stays as it was is not counted as changed."""
        end = offset + len(data)
        for block in range(offset // BLOCK, -(-end // BLOCK)):
            start = block * BLOCK
            low, high = max(offset, start), min(end, start + BLOCK)
            piece = data[low - offset : high - offset]
            fresh = start >= self.size and block not in self.blocks
            old = bytes(BLOCK) if fresh else self._block(block)
            new = old[: low - start] + piece + old[high - start :]
            if new != old:
                self.blocks[block] = new
        if len(self.blocks) > _MOST_CHANGED:
            raise damaged(f"more than {_MOST_CHANGED} blocks would have to change")

    def forget(self, first: int, end: int) -> None:
        """Leave a range of blocks, from `first` to before `end`, to what is written there later."""
        for block in [number for number in self.blocks if first <= number < end]:
            del self.blocks[block]

    def changed(self, offset: int, length: int) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, block) for the changed blocks in a range of whole blocks."""
        for number in range(offset // BLOCK, (offset + length) // BLOCK):
            if (block := self.blocks.get(number)) is not None:
                yield number * BLOCK, block

    def _block(self, number: int) -> bytes:
        changed = self.blocks.get(number)
        return self._source(number * BLOCK, BLOCK) if changed is None else changed

    def _source(self, offset: int, length: int) -> bytes:
        if offset + length > self.size:
            raise damaged(f"something in it points behind its end, to byte {offset + length}")
        try:
            data = os.pread(self.descriptor, length, offset)
        except OSError as error:
            raise SourceError(
                f"the source cannot be read: {error.strerror}", "see dmesg"
            ) from error
        if len(data) != length:
            raise damaged(f"it ends before byte {offset + length}")
        return data
