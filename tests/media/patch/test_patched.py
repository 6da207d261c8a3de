"""What is on a patched medium, asked with other people's tools."""

import re
import subprocess
from pathlib import Path

import pytest

from builder.media.errors import MediumError, OutputError, RefusedError
from builder.media.patch.medium import patch_medium
from builder.media.patch.verify import verify_patched
from tests.media.patch.trees import MENUS, SMALL, TREES, WHEN, extracted, patched, said, sha256

APPLICATION_USE = slice(16 * 2048 + 883, 16 * 2048 + 883 + 512)


@pytest.fixture(params=sorted(TREES))
def tree(request: pytest.FixtureRequest) -> dict[str, bytes]:
    return TREES[request.param]


def test_files(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    """Every file of the tree is there, and every other file is the source's."""
    medium, _ = patched(tiny, tmp_path, tree)
    before, after = (
        extracted(tiny, tmp_path / "before"),
        extracted(medium, tmp_path / "after"),
    )
    fat = before.pop("images/efiboot.img")
    assert len(after.pop("images/efiboot.img")) == len(fat)
    assert after == {**before, **tree, "EFI/BOOT/BOOT.conf": tree["EFI/BOOT/grub.cfg"]}


def test_both_trees_list_them_sorted(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    medium, _ = patched(tiny, tmp_path, tree)
    for names in ("-R", "-J"):
        listed = said("isoinfo", names, "-f", "-i", medium).splitlines()
        there = {line.removesuffix(";1") for line in listed}
        assert {f"/{name}" for name in tree} <= there
        assert len(listed) == len(set(listed))
    for options in ([], ["-J"]):
        listing = said("isoinfo", *options, "-l", "-i", medium).split("Directory listing of")[1]
        found = [line.split("] ")[1].strip() for line in listing.splitlines() if "] " in line]
        keys = [re.split("[;.]", name)[:2] for name in found[2:]]
        assert keys == sorted(keys)


def test_fat(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    """The FAT is sound, and both of its menus are ours, under long and short names."""
    medium, _ = patched(tiny, tmp_path, tree)
    image = tmp_path / "efiboot.img"
    image.write_bytes(extracted(medium, tmp_path / "x")["images/efiboot.img"])
    said("fsck.fat", "-n", image)
    for name in ("grub.cfg", "BOOT.conf", "GRUB.CFG"):
        content = subprocess.run(
            ["mtype", "-i", str(image), f"::EFI/BOOT/{name}"], check=True, capture_output=True
        ).stdout
        assert content == tree["EFI/BOOT/grub.cfg"]
    before = tmp_path / "before.img"
    before.write_bytes(extracted(tiny, tmp_path / "y")["images/efiboot.img"])
    listings = [said("mdir", "-b", "-/", "-i", path, "::") for path in (before, image)]
    assert listings[0] == listings[1]


def test_only_planned_blocks_differ(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    medium, done = patched(tiny, tmp_path, tree)
    differ = verify_patched(medium, tree, tiny, every_block=True)
    old, new = tiny.read_bytes(), medium.read_bytes()
    for at in range(0, len(new), 2048):
        if new[at : at + 2048] != old[at : at + 2048].ljust(2048, b"\0"):
            assert at // 2048 in done.changed
            differ -= 1
    assert differ == 0
    assert done.size == len(new)
    assert done.grown == len(new) - len(old)


def test_it_grows_only_when_it_has_to(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    medium, done = patched(tiny, tmp_path, tree)
    assert bool(done.grown) == (sum(map(len, tree.values())) > 1_000_000)
    assert medium.stat().st_size % (1024 * 1024) == 0


def test_root_folder_moves_when_it_is_full(tiny: Path, tmp_path: Path) -> None:
    sizes = {}
    for name in ("small", "many"):
        medium, _ = patched(tiny, tmp_path, TREES[name])
        raw = medium.read_bytes()
        sizes[name] = raw[16 * 2048 + 166 : 16 * 2048 + 170]
        # Both path tables and every '..' agree, or isovfy says so.
        assert "No errors found" in said("isovfy", "-i", medium)
    assert sizes["small"] != sizes["many"]


def test_partition_tables(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    """sgdisk finds what it finds in the source; only sizes may differ, and only when it grew."""
    medium, done = patched(tiny, tmp_path, tree)
    # The overlapping partitions are by design, and sgdisk ends with 2 because of them.
    assert said("sgdisk", "-v", medium, status=2) == said("sgdisk", "-v", tiny, status=2)
    before, after = (said("sfdisk", "-d", path).replace(str(path), "") for path in (tiny, medium))
    sectors = tiny.stat().st_size // 512
    assert f"size={sectors:12}" in before
    assert after == before.replace(f"size={sectors:12}", f"size={done.size // 512:12}")
    tables = [
        said("xorriso", "-indev", path, "-report_system_area", "plain") for path in (tiny, medium)
    ]
    for what in ("GPT type GUID", "GPT partition GUID", "GPT disk GUID", "MBR partition path"):
        found = [[line for line in table.splitlines() if what in line] for table in tables]
        assert found[0] == found[1]
        assert found[0]
    backup = medium.read_bytes()[-512:]
    assert backup[:8] == b"EFI PART"
    assert int.from_bytes(backup[24:32], "little") == done.size // 512 - 1


def test_boot_catalog_stays(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    medium, _ = patched(tiny, tmp_path, tree)
    reports = [
        [
            line
            for line in said("xorriso", "-indev", path, "-report_el_torito", "plain").splitlines()
            if line.startswith("El Torito")
        ]
        for path in (tiny, medium)
    ]
    assert reports[0] == reports[1]
    assert any("boot-info-table isohybrid-suitable" in line for line in reports[0])


def test_checksum_is_implantisomd5s(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    medium, _ = patched(tiny, tmp_path, tree)
    assert "PASS" in said("checkisomd5", medium)
    ours = medium.read_bytes()
    said("implantisomd5", "--force", medium)
    assert medium.read_bytes() == ours


def test_checksum_can_be_dropped(tiny: Path, tmp_path: Path) -> None:
    stamped = tmp_path / "stamped.iso"
    stamped.write_bytes(tiny.read_bytes())
    said("implantisomd5", "--force", stamped)
    medium, _ = patched(stamped, tmp_path, SMALL, "drop")
    assert medium.read_bytes()[APPLICATION_USE] == b" " * 512
    refused = {**SMALL, "isolinux/isolinux.cfg": b"append rd.live.check\n"}
    with pytest.raises(MediumError, match=r"isolinux.cfg asks for the media check"):
        patch_medium(tmp_path / "no.iso", refused, tiny, when=WHEN, md5="drop")
    assert not (tmp_path / "no.iso").exists()
    patch_medium(tmp_path / "yes.iso", refused, tiny, when=WHEN, md5="implant")


def test_same_input_same_bytes(tiny: Path, tmp_path: Path, tree: dict[str, bytes]) -> None:
    first = sha256(patched(tiny, tmp_path, tree)[0])
    backwards = dict(reversed(tree.items()))
    assert sha256(patched(tiny, tmp_path, backwards)[0]) == first
    patch_medium(tmp_path / "later.iso", tree, tiny, when=WHEN + 2)
    assert sha256(tmp_path / "later.iso") != first


def test_volume_id_and_dates(tiny: Path, tmp_path: Path) -> None:
    medium, _ = patched(tiny, tmp_path, SMALL)
    labels = [
        [line for line in said("isoinfo", "-d", "-i", path).splitlines() if "Volume id" in line]
        for path in (tiny, medium)
    ]
    assert labels[0] == labels[1]
    rock_ridge = said("isoinfo", "-R", "-l", "-i", medium)
    assert re.search(r"-r--r--r--\s+1\s+0\s+0\s+6 Nov 14 2023 .* ks.cfg", rock_ridge)


def test_verification_notices(tiny: Path, tmp_path: Path) -> None:
    medium, _ = patched(tiny, tmp_path, SMALL)
    with pytest.raises(MediumError, match=r"ks\.cfg"):
        verify_patched(medium, {**SMALL, "ks.cfg": b"other!"}, tiny)
    other = {**SMALL, "EFI/BOOT/grub.cfg": MENUS["EFI/BOOT/grub.cfg"][::-1]}
    with pytest.raises(MediumError, match=r"grub\.cfg inside"):
        verify_patched(medium, other, tiny)
    raw = bytearray(medium.read_bytes())
    raw[-513] = 1
    medium.write_bytes(raw)
    with pytest.raises(MediumError):
        verify_patched(medium, SMALL, tiny)


def test_existing_medium_needs_force(tiny: Path, tmp_path: Path) -> None:
    medium, _ = patched(tiny, tmp_path, SMALL)
    with pytest.raises(OutputError, match="there already"):
        patch_medium(medium, SMALL, tiny, when=WHEN)
    with pytest.raises(RefusedError, match=r"the source has ksbuild\.json"):
        patch_medium(tmp_path / "second.iso", SMALL, medium, when=WHEN)
    again = {**SMALL, "ks.cfg": b"# changed\n"}
    done = patch_medium(tmp_path / "second.iso", again, medium, when=WHEN, force=True)
    assert done.grown == 0
    assert extracted(tmp_path / "second.iso", tmp_path / "x")["ks.cfg"] == b"# changed\n"
