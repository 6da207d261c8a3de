"""Every file of a source, where its bytes lie, whichever way it was mastered."""

import datetime
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.media.errors import SourceError
from builder.media.unpack import files
from tests.media.patch.conftest import tiny_tree
from tests.media.patch.trees import LAYOUTS

__all__ = ["tiny_tree"]

PACKAGES = (
    "BaseOS/Packages/b-1.el9.x86_64.rpm",
    "AppStream/Packages/e/e-1.el9.noarch.rpm",
    "empty",
)
WHEN = 1_600_000_000


@pytest.fixture(scope="module", params=sorted(LAYOUTS))
def image(
    request: pytest.FixtureRequest, tiny_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A source and the tree that it was made of."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(tiny_tree, folder / "tree")
    for name in PACKAGES:
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_bytes(b"" if name == "empty" else os.urandom(5000))
        os.utime(folder / "tree" / name, (WHEN, WHEN))
    LAYOUTS[request.param](folder / "tree", folder / "image.iso")
    return folder / "image.iso", folder / "tree"


def test_every_file_is_found_with_its_bytes(image: tuple[Path, Path]) -> None:
    iso, tree = image
    with iso.open("rb") as file:
        found = {each.path: each for each in files(file)}
        wanted = {str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file()}
        # The catalogue is the master's, as is genisoimage's TRANS.TBL.
        assert wanted <= found.keys()
        assert {Path(path).name for path in found.keys() - wanted} <= {"boot.cat", "TRANS.TBL"}
        for path in wanted - {"isolinux/isolinux.bin"}:
            content = b"".join(
                os.pread(file.fileno(), length, start) for start, length in found[path].extents
            )
            assert content == (tree / path).read_bytes(), path
            assert found[path].size == len(content)
    assert {found[name].when for name in PACKAGES} == {WHEN}


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/aa.bin").write_text("x")
    iso = tmp_path / "image.iso"
    argv = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(iso), str(tmp_path / "tree")]
    subprocess.run(argv, check=True, capture_output=True)
    image = bytearray(iso.read_bytes())
    at = image.index(b"NM\x0b\x01\0aa.bin")
    image[at + 5 : at + 11] = b"../a.b"
    iso.write_bytes(image)
    with iso.open("rb") as file, pytest.raises(SourceError, match="leads elsewhere"):
        list(files(file))


def test_a_file_behind_the_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/aa.bin").write_text("x")
    iso = tmp_path / "image.iso"
    argv = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(iso), str(tmp_path / "tree")]
    subprocess.run(argv, check=True, capture_output=True)
    image = bytearray(iso.read_bytes())
    at = image.index(b"AA.BIN;1") - 33
    image[at + 10 : at + 18] = (1 << 31).to_bytes(4, "little") + (1 << 31).to_bytes(4, "big")
    iso.write_bytes(image)
    with iso.open("rb") as file, pytest.raises(SourceError, match="behind its end"):
        list(files(file))


def test_dates_are_utc() -> None:
    from builder.media.unpack import _date

    at = datetime.datetime(2025, 5, 16, 12, 30, 15, tzinfo=datetime.UTC)
    assert _date(bytes([125, 5, 16, 12, 30, 15, 0])) == at.timestamp()
    assert _date(bytes([125, 5, 16, 14, 30, 15, 8])) == at.timestamp(), "two hours east"
    assert _date(bytes([125, 5, 16, 7, 30, 15, 256 - 20])) == at.timestamp(), "five west"
    assert _date(bytes(7)) == 315_532_800
