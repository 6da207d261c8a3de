"""The media checksum that `rd.live.check` verifies, as implantisomd5 records it.

What is summed, and how it is recorded, follows isomd5sum 1.2 (libimplantisomd5.c, utilities.c):
the volume without its last 15 blocks, with the primary descriptor's application use field blank;
and the running sum at about every twenty-first of it, of which three digits are kept.
"""

import hashlib
from bisect import bisect_right

from builder.media.patch.overlay import BLOCK
from builder.media.patch.volume import APPLICATION_USE_BYTES

SKIPPED_BLOCKS = 15
_FRAGMENTS = 20
# The tool reads this much at a time, and looks where it is only in between.
_READ_BYTES = 16 * BLOCK
BLANK = b" " * APPLICATION_USE_BYTES


class IsoMd5:
    """Takes an image from its first byte on and says what to record."""

    def __init__(self, volume_blocks: int) -> None:
        self._total = (volume_blocks - SKIPPED_BLOCKS) * BLOCK
        self._sum = hashlib.md5(usedforsecurity=False)
        self._done = 0
        self._stops = _stops(self._total)
        self._fragments = ""

    def update(self, data: memoryview) -> None:
        """Take the next bytes; those behind the end of what is summed do not count."""
        data = data[: max(0, self._total - self._done)]
        while data:
            at = bisect_right(self._stops, self._done)
            stop = self._stops[at] if at < len(self._stops) else self._total
            piece = data[: stop - self._done]
            self._sum.update(piece)
            self._done += len(piece)
            data = data[len(piece) :]
            if at < len(self._stops) and self._done == stop:
                # "%01x" of a byte, cut to one digit: the high one, or the only one.
                self._fragments += "".join(f"{byte:x}"[0] for byte in self._sum.digest()[:3])

    def application_use(self) -> bytes:
        """Return the field's 512 bytes.

        Raises:
            ValueError: fewer bytes were given than the volume has.
        """
        if self._done != self._total:
            raise ValueError(f"{self._done} of {self._total} bytes were summed")
        text = (
            f"ISO MD5SUM = {self._sum.hexdigest()};SKIPSECTORS = {SKIPPED_BLOCKS};RHLISOSTATUS=0;"
            f"FRAGMENT SUMS = {self._fragments};FRAGMENT COUNT = {_FRAGMENTS};"
            "THIS IS NOT THE SAME AS RUNNING MD5SUM ON THIS ISO!!"
        )
        return text.encode("ascii").ljust(APPLICATION_USE_BYTES)


def _stops(total: int) -> list[int]:
    """Offsets at which a fragment's sum is taken: behind the first read that began in a new one."""
    size = total // (_FRAGMENTS + 1)
    stops: list[int] = []
    current = 0
    for number in range(1, _FRAGMENTS + 1):
        begin = -(-number * size // _READ_BYTES) * _READ_BYTES
        if begin < total and begin // size != current:
            current = begin // size
            stops.append(min(begin + _READ_BYTES, total))
    return stops
