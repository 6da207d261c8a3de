"""On a stick the medium and its EFI partition are two block devices; only one may answer LABEL=."""

import subprocess
from pathlib import Path

from builder.cli.medium import DEMO_VOLUME_ID, VOLUME_ID
from builder.media.boot import write_boot_medium
from builder.media.source import open_source
from tests.media.menus import make_tree


def label(image: Path, offset: int = 0) -> str:
    """The label udev's own prober finds at `offset` bytes of an image."""
    argv = ["blkid", "-p", "-O", str(offset), "-s", "LABEL", "-o", "value", str(image)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_the_mediums_label_is_its_own(el9_iso: Path, tmp_path: Path) -> None:
    medium = tmp_path / "medium.iso"
    with open_source(el9_iso) as source, medium.open("w+b") as out:
        tree = make_tree(source, None)
        write_boot_medium(out, tree, source, volume_id=VOLUME_ID, when=0)
    dump = subprocess.run(
        ["sfdisk", "-d", medium], capture_output=True, text=True, check=True
    ).stdout
    (efi,) = (line for line in dump.splitlines() if "type=ef" in line)
    start = int(efi.split("start=")[1].split(",")[0])
    assert label(medium) == VOLUME_ID
    assert label(medium, start * 512) not in {"", VOLUME_ID, DEMO_VOLUME_ID}
