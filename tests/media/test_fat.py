"""The FAT writer against the real fsck.fat and mtools."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.media.fat import fat_image

CLUSTER = 2048
SERIAL = 0x1234ABCD


def assert_holds(folder: Path, files: dict[str, bytes]) -> str:
    """fsck.fat finds nothing, and mcopy reads every file back; returns what fsck.fat said."""
    image = folder / "fat.img"
    content = fat_image(files, label="KSBUILD", serial=SERIAL)
    assert len(content) % 2048 == 0
    image.write_bytes(content)
    checked = subprocess.run(
        ["/usr/sbin/fsck.fat", "-n", "-v", image], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Auto-fix" not in checked.stdout
    for path, wanted in files.items():
        read = subprocess.run(
            ["mcopy", "-n", "-i", image, f"::{path}", "-"], capture_output=True, check=True
        )
        assert read.stdout == wanted
    return checked.stdout


def test_sizes_around_a_cluster(tmp_path: Path) -> None:
    sizes = (0, 1, CLUSTER - 1, CLUSTER, CLUSTER + 1, 3 * CLUSTER)
    assert_holds(tmp_path, {f"EFI/BOOT/F{size}.BIN": b"\xa5" * size for size in sizes})


@pytest.mark.parametrize(
    ("clusters", "bits"), [(4067, 12), (4068, 12), (4069, 16), (4090, 16), (4101, 16), (5000, 16)]
)
def test_type_follows_from_the_count_of_clusters(tmp_path: Path, clusters: int, bits: int) -> None:
    """4069 and one for the folder is where FAT12 ends, 16 before Microsoft's limit."""
    said = assert_holds(tmp_path, {"EFI/A.BIN": bytes(range(256)) * 8 * clusters})
    assert f"{bits} bit" in said


def test_large_volume_uses_the_wide_sector_count(tmp_path: Path) -> None:
    assert_holds(tmp_path, {"BIG.BIN": b"x" * 40_000_000, "EFI/BOOT/GRUB.CFG": b"y"})


def test_label_serial_and_listing(tmp_path: Path) -> None:
    assert_holds(tmp_path, {"EFI/BOOT/BOOTX64.EFI": b"x"})
    listing = subprocess.run(
        ["mdir", "-/", "-i", tmp_path / "fat.img", "::"], capture_output=True, text=True, check=True
    ).stdout
    assert "Volume in drive : is KSBUILD" in listing
    assert "1234-ABCD" in listing
    assert "BOOTX64  EFI         1 1980-01-01" in listing


NAMES = st.from_regex(r"\A[A-Z0-9_]{1,8}(\.[A-Z0-9]{1,3})?\Z")
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=4).map("/".join), st.binary(max_size=3 * CLUSTER)
)


@settings(max_examples=40)
@given(FILES)
def test_whatever_fits_is_held(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    prefixes = {
        "/".join(path.split("/")[:n]) for path in files for n in range(1, path.count("/") + 1)
    }
    if prefixes & files.keys():
        with pytest.raises(ValueError, match=r"is a folder|is a file"):
            fat_image(files, label="X", serial=0)
    else:
        assert_holds(tmp_path_factory.mktemp("fat"), files)


@pytest.mark.parametrize(
    "path",
    ["lower.cfg", "TOOLONGNAME", "A.LONG", "A.B.C", "", "EFI//A", "/A", "..", "A B", "EFI/Ä"],
)
def test_names_it_cannot_hold_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not an upper-case"):
        fat_image({path: b""}, label="X", serial=0)


@pytest.mark.parametrize("label", ["", "lower", "TWELVE CHARS"])
def test_labels_it_cannot_hold_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="volume label"):
        fat_image({}, label=label, serial=0)


def test_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="root folder"):
        fat_image({f"F{number}": b"" for number in range(512)}, label="X", serial=0)
    with pytest.raises(ValueError, match="FAT16"):
        fat_image({"BIG": bytes(65510 * CLUSTER)}, label="X", serial=0)


def test_same_input_same_bytes() -> None:
    files = {"B/C": b"1", "A": b"2"}
    again = dict(reversed(files.items()))
    assert fat_image(files, label="X", serial=1) == fat_image(again, label="X", serial=1)
