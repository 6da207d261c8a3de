"""Files replaced inside FAT images, read back with mtools and checked by fsck.fat."""

import random
import subprocess
from pathlib import Path

import pytest

from builder.media.errors import MediumError, SourceError
from builder.media.patch.clone import write_blocks
from builder.media.patch.fatfile import FatVolume
from builder.media.patch.overlay import Overlay
from tests.media.patch.trees import said

# mkfs.msdos options -> kind. The first cluster size is what lorax' images have.
KINDS = {
    "12": (["-F", "12", "-s", "4"], 4096),
    "12, small clusters": (["-F", "12", "-s", "1"], 1024),
    "16": (["-F", "16", "-s", "4"], 20480),
    "16, one table": (["-F", "16", "-s", "1", "-f", "1"], 4096),
}


@pytest.fixture(params=sorted(KINDS))
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image with a menu, a file behind it, and one with a long name."""
    options, kib = KINDS[request.param]
    path, folder = tmp_path / "fat.img", tmp_path / "EFI"
    said("mkfs.msdos", "-C", *options, path, str(kib))
    (folder / "BOOT").mkdir(parents=True)
    for name in ("grub.cfg", "BOOT.conf", "grubx64.efi", "A rather long name.text"):
        (folder / "BOOT" / name).write_bytes(name.encode() * 500)
    said("mcopy", "-s", "-i", path, folder, "::")
    return path


def replace(path: Path, name: str, content: bytes) -> None:
    with path.open("r+b") as file:
        overlay = Overlay(file.fileno(), path.stat().st_size)
        fat = FatVolume(overlay, 0, path.stat().st_size)
        (entry,) = fat.find("efi", "boot", name)
        fat.replace(entry, content)
        (again,) = FatVolume(overlay, 0, path.stat().st_size).find("EFI", "BOOT", name)
        assert FatVolume(overlay, 0, path.stat().st_size).read(again) == content
        write_blocks(file, overlay.blocks)


def read(path: Path, name: str) -> bytes:
    command = ["mtype", "-i", str(path), f"::EFI/BOOT/{name}"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_any_length_any_number_of_times(volume: Path) -> None:
    dice = random.Random(7)  # noqa: S311  repeatable, not secret
    expected = {name: read(volume, name) for name in ("grubx64.efi", "A rather long name.text")}
    listing = said("mdir", "-b", "-/", "-i", volume, "::")
    for length in (0, 1, 511, 512, 2048, 2049, 70_000, 3, 0, 5000):
        for name in ("grub.cfg", "BOOT.conf"):
            expected[name] = dice.randbytes(length)
            replace(volume, name, expected[name])
        said("fsck.fat", "-n", volume)
        assert {name: read(volume, name) for name in expected} == expected
        assert said("mdir", "-b", "-/", "-i", volume, "::") == listing


def test_full(volume: Path) -> None:
    before = volume.read_bytes()
    with pytest.raises(MediumError, match="no room for a menu"):
        replace(volume, "grub.cfg", bytes(len(before)))
    assert volume.read_bytes() == before


def test_found_by_either_name(volume: Path) -> None:
    with volume.open("rb") as file:
        fat = FatVolume(Overlay(file.fileno(), volume.stat().st_size), 0, volume.stat().st_size)
        for name in ("A RATHER long name.text", "ARATHE~1.TEX"):
            (entry,) = fat.find("EFI", "BOOT", name)
            assert fat.read(entry) == b"A rather long name.text" * 500
        assert fat.find("EFI", "NONE", "grub.cfg") == []
        assert fat.find("EFI", "BOOT", "grub.cf") == []
        assert fat.find("EFI", "BOOT") == []


def test_fat32_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fat.img"
    said("mkfs.msdos", "-C", "-F", "32", path, "40960")
    with path.open("rb") as file, pytest.raises(SourceError, match="FAT32"):
        FatVolume(Overlay(file.fileno(), path.stat().st_size), 0, path.stat().st_size)
