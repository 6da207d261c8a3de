"""Layouts and trees that cannot be patched: refused before anything is written."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.media.errors import MediaError, MediumError, OutputError, SourceError
from builder.media.patch.medium import patch_medium
from tests.media.patch.trees import SMALL, WHEN, said
from tests.media.sources import EL9_LABEL, master

BIOS = ["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-boot-load-size", "4"]
BIOS += ["-boot-info-table", "-no-emul-boot"]
BOOT = [*BIOS, "-eltorito-alt-boot", "-e", "images/efiboot.img", "-no-emul-boot"]
HYBRID = ["-isohybrid-mbr", "/usr/lib/ISOLINUX/isohdpfx.bin", "-isohybrid-gpt-basdat"]


def refused(source: Path, folder: Path, tree: dict[str, bytes] = SMALL) -> MediaError:
    """Return the refusal; nothing was written, and the source is as it was."""
    before = source.read_bytes() if source.is_file() else b""
    target = folder / "refused"
    target.mkdir(exist_ok=True)
    with pytest.raises((SourceError, MediumError)) as caught:
        patch_medium(target / "out.iso", tree, source, when=WHEN)
    assert list(target.iterdir()) == []
    assert before == (source.read_bytes() if source.is_file() else b"")
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def other_layout(source: Path, folder: Path, reason: str) -> None:
    """Refused as unknown, with both other ways named."""
    error = refused(source, folder)
    assert isinstance(error, SourceError)
    assert reason in error.message
    assert "--mode boot" in error.hint
    assert "--mode oemdrv" in error.hint


def xorriso(tree: Path, iso: Path, *options: str) -> Path:
    said("xorriso", "-as", "mkisofs", "-quiet", *options, "-V", EL9_LABEL, "-o", iso, tree)
    return iso


def test_not_bootable(tiny_tree: Path, tmp_path: Path) -> None:
    master(tiny_tree, tmp_path / "a.iso", bootable=False)
    other_layout(tmp_path / "a.iso", tmp_path, "no El Torito boot record")


def test_not_hybrid(tiny_tree: Path, tmp_path: Path) -> None:
    other_layout(
        xorriso(tiny_tree, tmp_path / "a.iso", "-R", "-J", *BOOT), tmp_path, "no partition table"
    )


def test_bios_only(tiny_tree: Path, tmp_path: Path) -> None:
    iso = xorriso(tiny_tree, tmp_path / "a.iso", "-R", "-J", *BIOS, *HYBRID[:2])
    other_layout(iso, tmp_path, "one entry for BIOS and one for UEFI")


def test_no_rock_ridge(tiny_tree: Path, tmp_path: Path) -> None:
    iso = tmp_path / "a.iso"
    said("genisoimage", "-quiet", "-U", "-J", *_genisoimage(), "-o", iso, tiny_tree)
    other_layout(iso, tmp_path, "no Rock Ridge")


def test_udf(tiny_tree: Path, tmp_path: Path) -> None:
    iso = tmp_path / "a.iso"
    said("genisoimage", "-quiet", "-U", "-R", "-J", "-udf", *_genisoimage(), "-o", iso, tiny_tree)
    other_layout(iso, tmp_path, "UDF")


def _genisoimage() -> list[str]:
    return [*BOOT, "-V", EL9_LABEL]


def test_compressed(tiny_tree: Path, tmp_path: Path) -> None:
    tree, packed = tmp_path / "tree", tmp_path / "packed"
    shutil.copytree(tiny_tree, tree)
    (tree / "Packages/a/a-1.el9.rpm").write_bytes(b"compresses well " * 10000)
    said("mkzftree", tree / "Packages", packed)
    shutil.rmtree(tree / "Packages")
    packed.rename(tree / "Packages")
    iso = xorriso(tree, tmp_path / "a.iso", "-R", "-J", "-z", *BOOT, *HYBRID)
    other_layout(iso, tmp_path, "zisofs")


def test_el10(tiny_tree: Path, tmp_path: Path) -> None:
    """As lorax' rhel10 x86.tmpl: a second set of descriptors, the system partition appended."""
    efi = tmp_path / "efi.img"
    shutil.copyfile(tiny_tree / "images/efiboot.img", efi)
    options = ["-R", "-J", "-partition_offset", "16", "-append_partition", "2"]
    options += ["C12A7328-F81F-11D2-BA4B-00A0C93EC93B", str(efi), "-appended_part_as_gpt"]
    options += [*BIOS, "-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::"]
    iso = xorriso(tiny_tree, tmp_path / "a.iso", *options, "-no-emul-boot")
    other_layout(iso, tmp_path, "second set of volume descriptors")


def test_efi_appended_only(tiny_tree: Path, tmp_path: Path) -> None:
    efi = tmp_path / "efi.img"
    shutil.copyfile(tiny_tree / "images/efiboot.img", efi)
    options = ["-R", "-J", "-append_partition", "2", "0xef", str(efi), *BIOS]
    options += ["-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::"]
    options += ["-no-emul-boot", *HYBRID[:2]]
    other_layout(xorriso(tiny_tree, tmp_path / "a.iso", *options), tmp_path, "images/efiboot.img")


def test_several_sessions(tiny: Path, tmp_path: Path) -> None:
    iso, more = tmp_path / "a.iso", tmp_path / "more"
    shutil.copyfile(tiny, iso)
    more.write_bytes(b"second session")
    said("xorriso", "-boot_image", "any", "keep", "-dev", iso, "-map", more, "/more", "-commit")
    other_layout(iso, tmp_path, "second set of volume descriptors")


def test_data_in_the_padding(tiny: Path, tmp_path: Path) -> None:
    raw = bytearray(tiny.read_bytes())
    blocks = struct.unpack_from("<I", raw, 16 * 2048 + 80)[0]
    raw[(blocks - 60) * 2048] = 1
    (tmp_path / "a.iso").write_bytes(raw)
    other_layout(tmp_path / "a.iso", tmp_path, "data behind its last file")


def change(at: int, new: bytes) -> Callable[[bytearray], None]:
    def make(raw: bytearray) -> None:
        raw[at : at + len(new)] = new

    return make


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (change(16 * 2048 + 1, b"CD002"), "not a volume descriptor"),
        (change(16 * 2048 + 128, b"\0\x04\x04\0"), "blocks are not 2048"),
        (change(16 * 2048 + 120, b"\2\0\0\2"), "several discs"),
        (change(16 * 2048 + 166, bytes(8)), "has 0 bytes"),
        (change(16 * 2048 + 158, b"\xff\xff\xff\x7f\x7f\xff\xff\xff"), "path table"),
        (change(16 * 2048 + 80, b"\xff\xff\xff\x7f\x7f\xff\xff\xff"), "cut short"),
        (change(16 * 2048 + 80, b"\x20\0\0\0\0\0\0\x20"), "the volume at 32"),
        (change(512 + 16, b"xxxx"), "the checksum of the GPT"),
        (change(512 + 88, b"xxxx"), "the checksum of the GPT"),
        (change(1024 + 3, b"xxxx"), "partition entries"),
        (change(446 + 12, b"\1\0\0\0"), "not the whole image"),
        (change(446 + 32 + 12, b"\1\0\0\0"), "more than two partitions"),
        (change(462 + 8, b"\1\0\0\0"), "second partition"),
        (change(17 * 2048 + 71, b"\xff\xff\xff\xff"), "its files need"),
        (change(17 * 2048 + 71, b"\0\0\0\0"), "boot catalog"),
    ],
)
def test_damaged(
    tiny: Path, tmp_path: Path, damage: Callable[[bytearray], None], reason: str
) -> None:
    raw = bytearray(tiny.read_bytes())
    damage(raw)
    (tmp_path / "a.iso").write_bytes(raw)
    error = refused(tmp_path / "a.iso", tmp_path)
    assert isinstance(error, SourceError)
    assert reason in error.message


def test_not_there_or_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty.iso").write_bytes(b"")
    for source, reason in (
        (tmp_path / "none.iso", "No such file"),
        (tmp_path, "is not a file"),
        (Path("/dev/null"), "is not a file"),
        (tmp_path / "empty.iso", "behind its end"),
    ):
        error = refused(source, tmp_path)
        assert isinstance(error, SourceError)
        assert reason in error.message


def test_source_as_target(tiny: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.iso"
    shutil.copyfile(tiny, source)
    before = source.read_bytes()
    with pytest.raises(MediumError, match="is the source itself"):
        patch_medium(source, SMALL, source, when=WHEN, force=True)
    with pytest.raises(OutputError):
        patch_medium(source, SMALL, source, when=WHEN)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ks/node.ks", "only the root folder"),
        ("EFI/new.cfg", "only the root folder"),
        ("images", "is a folder"),
        ("Packages", "is a folder"),
        ("naïve.ks", "cannot be added"),
        ("a;1", "cannot be added"),
        (".hidden", "cannot be added"),
        ("n" * 65, "cannot be added"),
    ],
)
def test_trees_that_do_not_fit(tiny: Path, tmp_path: Path, name: str, reason: str) -> None:
    error = refused(tiny, tmp_path, {**SMALL, name: b"x"})
    assert isinstance(error, MediumError)
    assert reason in error.message


def test_tree_without_a_menu(tiny: Path, tmp_path: Path) -> None:
    error = refused(tiny, tmp_path, {"EFI/BOOT/grub.cfg": b"#"})
    assert "isolinux/isolinux.cfg" in error.message


def test_menu_too_long_for_the_fat(tiny: Path, tmp_path: Path) -> None:
    error = refused(tiny, tmp_path, {**SMALL, "EFI/BOOT/grub.cfg": b"#" * 600_000})
    assert "no room for a menu of 600000 bytes" in error.message
    assert "--mode boot" in error.hint


@pytest.mark.parametrize("when", [-1, 1 << 40])
def test_dates_out_of_range(tiny: Path, tmp_path: Path, when: int) -> None:
    with pytest.raises(MediumError, match="no date"):
        patch_medium(tmp_path / "a.iso", SMALL, tiny, when=when)


@pytest.mark.parametrize("name", ["isolinux/isolinux.bin", "images/efiboot.img"])
def test_trees_with_loaders(tiny: Path, tmp_path: Path, name: str) -> None:
    assert f"brings {name}" in refused(tiny, tmp_path, {**SMALL, name: b"x"}).message


def test_trees_that_are_too_large(tiny: Path, tmp_path: Path) -> None:
    error = refused(tiny, tmp_path, {**SMALL, "large": bytes(16 * 1024 * 1024)})
    assert "at most 16777216" in error.message
