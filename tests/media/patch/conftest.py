"""Sources in both of EL9's layouts: bootable ones, and tiny ones whose loaders are stand-ins."""

from pathlib import Path

import pytest

from builder.media.source import REQUIRED
from tests.media.patch.trees import LAYOUTS
from tests.media.sources import (
    DISCINFO,
    GRUB_CONFIG,
    TREEINFO,
    efiboot,
)


@pytest.fixture(params=["el9_iso", "pungi9_iso"])
def bootable(request: pytest.FixtureRequest) -> Path:
    """A source that boots, in each layout."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Path)
    return found


@pytest.fixture(scope="session")
def tiny_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an EL9 medium, most of them a few KiB."""
    tree = tmp_path_factory.mktemp("tiny") / "tree"
    for number, name in enumerate((*REQUIRED, "EFI/BOOT/BOOT.conf", "Packages/a/a-1.el9.rpm")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(f"{name} {number}\n".encode() * 150)
    # isohybrid looks for its own signature in the loader.
    (tree / "isolinux/isolinux.bin").write_bytes(
        Path("/usr/lib/ISOLINUX/isolinux.bin").read_bytes()
    )
    for name in ("EFI/BOOT/grub.cfg", "EFI/BOOT/BOOT.conf"):
        (tree / name).write_text(GRUB_CONFIG)
    (tree / "isolinux/isolinux.cfg").write_text("default vesamenu.c32\n")
    (tree / ".treeinfo").write_text(TREEINFO)
    (tree / ".discinfo").write_text(DISCINFO)
    efiboot(tree)
    return tree


@pytest.fixture(scope="session", params=sorted(LAYOUTS))
def tiny(
    request: pytest.FixtureRequest, tiny_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A source of about 2 MB in each layout, with a BOOT.conf."""
    iso = tmp_path_factory.mktemp(request.param) / "tiny.iso"
    LAYOUTS[request.param](tiny_tree, iso)
    return iso
