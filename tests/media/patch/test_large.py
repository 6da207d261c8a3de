"""Sources of more than 1024 cylinders of 1 MiB, where the MBR's old addresses need care."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.media.patch.verify import verify_patched
from tests.media.patch.trees import BIG, LAYOUTS, patched, said


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_more_than_a_gibibyte(
    tiny_tree: Path, tmp_path: Path, layout: Callable[[Path, Path], None]
) -> None:
    tree, source = tmp_path / "tree", tmp_path / "source.iso"
    shutil.copytree(tiny_tree, tree)
    with (tree / "Packages/big").open("wb") as file:
        file.truncate(1_300_000_000)
    layout(tree, source)
    medium, done = patched(source, tmp_path, BIG)
    assert done.grown
    assert verify_patched(medium, BIG, source, every_block=True) <= len(done.changed)
    assert "PASS" in said("checkisomd5", medium)
    assert said("sgdisk", "-v", medium, status=2) == said("sgdisk", "-v", source, status=2)
    (heads, track, cylinder), after = (end_address(path) for path in (source, medium))
    assert after[:2] == (heads, track)
    assert cylinder <= after[2] <= 1023


def end_address(path: Path) -> tuple[int, int, int]:
    """Head, sector and cylinder where the first partition ends."""
    with path.open("rb") as file:
        head, sector, cylinder = file.read(454)[451:]
    return head, sector & 0x3F, cylinder | sector >> 6 << 8
