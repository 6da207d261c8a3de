"""The media checksum against the real implantisomd5, for sizes with every kind of fragment."""

import random
from pathlib import Path

import pytest

from builder.media.patch.checksum import BLANK, IsoMd5
from builder.media.patch.volume import APPLICATION_USE
from tests.media.patch.trees import said

PLACE = 16 * 2048 + APPLICATION_USE
# Fragments smaller than what the tool reads at once, as large, larger; and odd ones.
SIZES = (18, 19, 31, 32, 100, 336, 351, 352, 367, 512, 688, 1000, 1024, 2047, 4099, 7013)


def image(blocks: int) -> bytes:
    """A volume that is no more than the tool looks at, the rest noise."""
    raw = bytearray(random.Random(blocks).randbytes(blocks * 2048))  # noqa: S311  repeatable
    raw[16 * 2048 : 17 * 2048] = b"\1CD001\1".ljust(2048, b"\0")
    raw[16 * 2048 + 84 : 16 * 2048 + 88] = blocks.to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.parametrize("blocks", SIZES)
def test_is_the_tools(tmp_path: Path, blocks: int) -> None:
    path = tmp_path / "a.iso"
    raw = bytearray(image(blocks))
    path.write_bytes(raw)
    said("implantisomd5", "--force", path)
    raw[PLACE : PLACE + 512] = BLANK
    there = path.read_bytes()[PLACE : PLACE + 512]
    for step in (2048, 32768, 1 << 20):
        summed = IsoMd5(blocks)
        for at in range(0, len(raw), step):
            summed.update(memoryview(raw)[at : at + step])
        assert summed.application_use() == there


def test_too_few_bytes() -> None:
    summed = IsoMd5(100)
    summed.update(memoryview(bytes(2048)))
    with pytest.raises(ValueError, match="2048 of 174080 bytes were summed"):
        summed.application_use()
