"""What pycdlib is shown of an image: all of it but the packages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from pycdlib import PyCdlib

from builder.media.outline import outline
from tests.media.patch.conftest import tiny_tree
from tests.media.patch.trees import LAYOUTS

__all__ = ["tiny_tree"]

# genisoimage puts a TRANS.TBL into every folder, those included.
HIDDEN = ("Packages/", "BaseOS/Packages/", "AppStream/Packages/")
PACKAGES = ("Packages/a/a-1.el9.rpm", "BaseOS/Packages/b.rpm", "AppStream/Packages/e/e.rpm")
SHOWN = (
    *("BaseOS/repodata/repomd.xml", "BaseOS/notes/Packages/c.rpm", "packages.txt"),
    "ksbuild-extras/Packages/d.rpm",
)


@pytest.fixture(scope="module", params=sorted(LAYOUTS))
def image(
    request: pytest.FixtureRequest, tiny_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A source with packages where an EL9 DVD has them, and with folders named alike."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(tiny_tree, folder / "tree")
    for name in (*PACKAGES, *SHOWN):
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_text(name)
    LAYOUTS[request.param](folder / "tree", folder / "image.iso")
    return folder / "image.iso"


@contextmanager
def opened(path: Path) -> Iterator[PyCdlib]:
    iso = PyCdlib()
    with path.open("rb") as file:
        iso.open_fp(outline(file))
        yield iso
        iso.close()


def files(iso: PyCdlib, **tree: str) -> set[str]:
    """Every file of a tree, the content of SHOWN checked."""
    found = set()
    for folder, _, names in iso.walk(**tree):
        found |= {f"{folder.rstrip('/')}/{name}".removeprefix("/") for name in names}
    for path in SHOWN:
        with iso.open_file_from_iso(**dict.fromkeys(tree, f"/{path}")) as file:
            assert cast(bytes, file.read()) == path.encode()
    return found


@pytest.mark.parametrize("way", ["rr_path", "joliet_path"])
def test_only_packages_are_missing(image: Path, way: str) -> None:
    whole = PyCdlib()
    whole.open(str(image))
    everything = files(whole, **{way: "/"})
    whole.close()
    assert everything >= {*PACKAGES, *SHOWN}
    with opened(image) as iso:
        assert files(iso, **{way: "/"}) == {f for f in everything if not f.startswith(HIDDEN)}


def test_every_other_byte_is_the_image_s_own(image: Path) -> None:
    with image.open("rb") as file:
        shown, whole = outline(file).read(), image.read_bytes()
    assert len(shown) == len(whole)
    different = [at for at in range(0, len(whole), 2048) if shown[at:][:2048] != whole[at:][:2048]]
    # Three folders, one block each in both trees, which now ends behind the two records that every
    # folder begins with.
    assert len(different) == 6
    for at in different:
        block = shown[at:][:2048]
        parent = block[0]
        assert block[: parent + block[parent]] == whole[at:][: parent + block[parent]]
        assert not any(block[parent + block[parent] :])


def test_it_reads_like_a_file(image: Path) -> None:
    with image.open("rb") as file:
        shown = outline(file)
        assert shown.seek(-2048, 2) == image.stat().st_size - 2048 == shown.tell()
        assert len(shown.read(4096)) == 2048
        assert shown.read(1) == b""
        assert shown.seek(0x8001) == 0x8001
        assert shown.read(5) == b"CD001"
        with pytest.raises(ValueError, match="no byte -1"):
            shown.seek(-1)


@pytest.mark.parametrize("size", [0, 100, 0x8000, 0x8800, 0x9000])
def test_what_is_damaged_is_shown_as_it_is(image: Path, tmp_path: Path, size: int) -> None:
    short = tmp_path / "short.iso"
    short.write_bytes(image.read_bytes()[:size])
    with short.open("rb") as file:
        assert outline(file).read() == short.read_bytes()
