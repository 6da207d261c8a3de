"""The boot medium without booting it: content, reproducibility, and the check of both."""

import hashlib
import io
import os
import struct
import subprocess
import time
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from builder.media.boot import verify_boot_medium, write_boot_medium
from builder.media.errors import MediumError
from builder.media.source import open_source
from tests.media.menus import VOLUME_ID, make_tree

WHEN = 1_700_000_000


@pytest.fixture(scope="module")
def medium(
    el9_iso: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, bytes]]:
    path = tmp_path_factory.mktemp("boot") / "medium.iso"
    with open_source(el9_iso) as source, path.open("w+b") as out:
        tree = make_tree(source, "node-b")
        write_boot_medium(out, tree, source, volume_id=VOLUME_ID, when=WHEN)
    return path, tree


def build(source_iso: Path, when: int = WHEN, volume_id: str = VOLUME_ID) -> bytes:
    out = io.BytesIO()
    with open_source(source_iso) as source:
        tree = make_tree(source, None)
        write_boot_medium(out, tree, source, volume_id=volume_id, when=when)
    return out.getvalue()


def test_other_tools_read_it(medium: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    path, tree = medium
    subprocess.run(
        ["xorriso", "-osirrox", "on", "-indev", path, "-extract", "/", tmp_path / "all"],
        check=True,
        capture_output=True,
    )
    for name, content in tree.items():
        assert (tmp_path / "all" / name).read_bytes() == content
    report = subprocess.run(
        ["xorriso", "-indev", path, "-report_el_torito", "plain", "-report_system_area", "plain"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "MBR isohybrid cyl-align-on GPT" in report
    assert "/isolinux/isolinux.bin\nEl Torito img opts :   1  boot-info-table isohybrid" in report
    assert "El Torito img path :   2  /images/efiboot.img" in report
    assert "MBR partition path :   2  /images/efiboot.img" in report


def test_system_partition_has_the_same_menu(
    medium: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    path, tree = medium
    image = tmp_path / "efi.img"
    iso = PyCdlib()
    iso.open(str(path))
    iso.get_file_from_iso(str(image), rr_path="/images/efiboot.img")
    iso.close()
    read = subprocess.run(
        ["mcopy", "-i", image, "::EFI/BOOT/grub.cfg", "-"], check=True, capture_output=True
    )
    assert read.stdout == tree["EFI/BOOT/grub.cfg"]


def test_gpt_is_consistent(medium: tuple[Path, dict[str, bytes]]) -> None:
    """Overlaps are how an isohybrid works; checksums and the backup have no such excuse."""
    said = subprocess.run(
        ["/usr/sbin/sgdisk", "-v", medium[0]], capture_output=True, text=True, check=False
    )
    problems = [line for line in said.stdout.splitlines() if line.startswith("Problem")]
    assert problems == ["Problem: MBR partitions 1 and 2 overlap!"]
    assert "CRC" not in said.stdout + said.stderr


def test_same_input_same_bytes_a_second_later(
    el9_iso: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(el9_iso)
    time.sleep(1.1)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        second = build(el9_iso)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert build(el9_iso, WHEN + 1) != first
    assert time.time() > WHEN + 10**6


def test_verify_accepts_what_was_written(
    medium: tuple[Path, dict[str, bytes]], el9_iso: Path
) -> None:
    path, tree = medium
    with open_source(el9_iso) as source:
        verify_boot_medium(path, tree, VOLUME_ID, source)


def flipped(path: Path, place: int, target: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(
    "name",
    ["ks/node-a.ks", "MANIFEST.json", "isolinux/isolinux.cfg", "EFI/BOOT/grub.cfg"],
)
def test_verify_sees_a_flipped_bit_in_the_tree(
    medium: tuple[Path, dict[str, bytes]], tmp_path: Path, name: str
) -> None:
    path, tree = medium
    iso = PyCdlib()
    iso.open(str(path))
    place, _ = iso.get_file_byte_extents(rr_path=f"/{name}")[0]
    iso.close()
    with pytest.raises(MediumError, match=f"{name} differs"):
        verify_boot_medium(flipped(path, place, tmp_path / "bad.iso"), tree, VOLUME_ID)


@pytest.mark.parametrize(
    ("name", "offset", "words"),
    [
        ("isolinux/isolinux.bin", 3000, "isolinux.bin differs"),
        ("isolinux/isolinux.bin", 12, "boot information table"),
        ("images/pxeboot/vmlinuz", 5000, "vmlinuz differs"),
        ("isolinux/vesamenu.c32", 50, "vesamenu.c32 differs"),
        ("images/efiboot.img", 100_000, "efiboot.img differs"),
        ("isolinux/boot.cat", 0x28, "BIOS entry"),
        ("isolinux/boot.cat", 0x68, "UEFI entry"),
        ("isolinux/boot.cat", 0x66, "UEFI entry"),
    ],
)
def test_verify_sees_a_flipped_bit_elsewhere(
    medium: tuple[Path, dict[str, bytes]],
    el9_iso: Path,
    tmp_path: Path,
    name: str,
    offset: int,
    words: str,
) -> None:
    path, tree = medium
    iso = PyCdlib()
    iso.open(str(path))
    place = iso.get_record(rr_path=f"/{name}").extent_location() * 2048
    iso.close()
    bad = flipped(path, place + offset, tmp_path / "bad.iso")
    with open_source(el9_iso) as source, pytest.raises(MediumError, match=words):
        verify_boot_medium(bad, tree, VOLUME_ID, source)


def test_verify_sees_a_broken_loader_without_its_source(
    medium: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    path, tree = medium
    iso = PyCdlib()
    iso.open(str(path))
    place, _ = iso.get_file_byte_extents(rr_path="/isolinux/isolinux.bin")[0]
    iso.close()
    with pytest.raises(MediumError, match="boot information table"):
        verify_boot_medium(flipped(path, place + 3000, tmp_path / "bad.iso"), tree, VOLUME_ID)


def test_verify_sees_a_stale_menu_in_the_system_partition(
    medium: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    path, tree = medium
    content, config = path.read_bytes(), tree["EFI/BOOT/grub.cfg"]
    assert content.count(config) == 2
    iso = PyCdlib()
    iso.open(str(path))
    outside, _ = iso.get_file_byte_extents(rr_path="/EFI/BOOT/grub.cfg")[0]
    iso.close()
    inside = next(p for p in (content.find(config), content.rfind(config)) if p != outside)
    with pytest.raises(MediumError, match=r"efiboot.img has another EFI/BOOT/grub.cfg"):
        verify_boot_medium(flipped(path, inside, tmp_path / "bad.iso"), tree, VOLUME_ID)


def test_verify_refuses_another_label_and_no_iso(
    medium: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    path, tree = medium
    with pytest.raises(MediumError, match="is labelled 'KSBUILD-TEST', not 'OTHER'"):
        verify_boot_medium(path, tree, "OTHER")
    with pytest.raises(MediumError, match="ks/more cannot be read"):
        verify_boot_medium(path, {**tree, "ks/more": b""}, VOLUME_ID)
    (tmp_path / "x").write_bytes(os.urandom(100_000))
    with pytest.raises(MediumError, match="cannot be read back"):
        verify_boot_medium(tmp_path / "x", tree, VOLUME_ID)


@pytest.mark.parametrize("volume_id", ["", "a b", "x" * 33, "a:b", "ä", "a'b", "KSB-ESP"])
def test_labels_that_would_need_quoting_are_refused(el9_iso: Path, volume_id: str) -> None:
    with pytest.raises(MediumError, match="volume id"):
        build(el9_iso, volume_id=volume_id)


def test_longest_label(el9_iso: Path) -> None:
    label = "A" * 32
    assert (
        struct.unpack_from("32s", build(el9_iso, volume_id=label), 16 * 2048 + 40)[0]
        == label.encode()
    )


def test_trees_that_cannot_be_written(el9_iso: Path) -> None:
    with open_source(el9_iso) as source:
        tree = make_tree(source, None)
        for changes, words in (
            ({"images/efiboot.img": b""}, "brings images/efiboot.img"),
            ({"images/pxeboot/vmlinuz": b""}, "brings images/pxeboot/vmlinuz"),
            ({"../up": b""}, "cannot be on a medium"),
            ({"/absolute": b""}, "cannot be on a medium"),
            ({"1/2/3/4/5/6/7/8/9": b""}, "cannot be on a medium"),
        ):
            with pytest.raises(MediumError, match=words):
                write_boot_medium(
                    io.BytesIO(), {**tree, **changes}, source, volume_id=VOLUME_ID, when=WHEN
                )
        del tree["EFI/BOOT/grub.cfg"]
        with pytest.raises(MediumError, match=r"has no EFI/BOOT/grub\.cfg"):
            write_boot_medium(io.BytesIO(), tree, source, volume_id=VOLUME_ID, when=WHEN)


def test_names_that_collide_in_iso_9660(el9_iso: Path, tmp_path: Path) -> None:
    """Rock Ridge keeps what the plain names cannot."""
    long = "x" * 60
    extra = {
        f"ks/{name}": name.encode() for name in ("a.b.ks", "a_b.ks", "A-B.ks", long, long + "y")
    }
    with open_source(el9_iso) as source, (tmp_path / "m.iso").open("w+b") as out:
        tree = make_tree(source, None) | extra
        write_boot_medium(out, tree, source, volume_id=VOLUME_ID, when=WHEN)
        out.flush()
        verify_boot_medium(tmp_path / "m.iso", tree, VOLUME_ID, source)


def test_progress_ends_with_everything(el9_iso: Path) -> None:
    seen: list[tuple[int, int]] = []
    with open_source(el9_iso) as source:
        tree = make_tree(source, None)
        write_boot_medium(
            io.BytesIO(),
            tree,
            source,
            volume_id=VOLUME_ID,
            when=WHEN,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    assert len(seen) > 10
