"""An installation source whose installer is the stand-in: what EL9's DVD is for Anaconda."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.media.sources import demo_iso, master, mastered
from tests.qemu.images import StockImages


def lab_source(images: StockImages) -> Path:
    """An ISO laid out as an AlmaLinux 9 DVD, with Debian's kernel and the stand-in as its initrd.

    Its loaders and menus are those of every medium; what the stand-in unpacks does not lie on it.
    """

    def write(tree: Path, iso: Path) -> None:
        shutil.copyfile(images.kernel, tree / "images/pxeboot/vmlinuz")
        shutil.copyfile(images.installer, tree / "images/pxeboot/initrd.img")
        master(tree, iso)

    return mastered("lab", demo_iso(), write, images.kernel, images.installer)
