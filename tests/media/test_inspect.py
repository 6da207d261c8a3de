"""inspect: what a medium is, and every way in which it may be broken."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from builder.cli import main
from builder.media.inspect import BOOTS, boots, read_tree

ROOT = Path(__file__).parents[2]


def ksbuild(*arguments: "str | Path") -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def made(el9_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    options: list[str | Path] = [
        "--source",
        el9_iso,
        "-o",
        folder / "pair.iso",
        "--keys",
        folder / "keys",
    ]
    said = ksbuild("iso", ROOT / "profiles/example.toml", *options)
    assert said.exit_code == 0, said.output
    return folder / "pair.iso"


@pytest.fixture
def medium(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy.iso"
    copy.write_bytes(made.read_bytes())
    return copy


def change(medium: Path, offset: int, content: bytes) -> None:
    with medium.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def catalog_entry(medium: Path, offset: int) -> int:
    """The byte offset of the image that an El Torito entry names."""
    raw = medium.read_bytes()
    (catalog,) = struct.unpack_from("<I", raw, 17 * 2048 + 71)
    (block,) = struct.unpack_from("<I", raw, catalog * 2048 + offset)
    return int(block) * 2048


def test_a_whole_medium(medium: Path) -> None:
    said = ksbuild("inspect", medium)
    assert said.exit_code == 0, said.output
    assert "pair 00014, nodes justinian, julius" in said.output
    for place in BOOTS:
        assert f"boots on  {place}: yes" in said.output
    machine = json.loads(ksbuild("inspect", "--json", medium).stdout)
    assert machine["boots"] == dict.fromkeys(BOOTS, "")
    assert machine["differing"] == []


def test_secrets_are_not_shown(medium: Path) -> None:
    said = ksbuild("inspect", "--show", "justinian.ks", medium)
    assert said.exit_code == 0
    assert "%pre" in said.output
    assert "(secret " in said.output
    assert "BEGIN PRIVATE KEY" not in said.output
    assert ksbuild("inspect", "--show", "nothing", medium).exit_code == 2


def test_a_changed_file_is_named(medium: Path) -> None:
    raw = medium.read_bytes()
    change(medium, raw.index(b"# Kickstart of julius"), b"# kickstart of julius")
    said = ksbuild("inspect", medium)
    assert said.exit_code == 4
    assert [line.split()[1] for line in said.output.splitlines() if "DIFFERS" in line] == [
        "julius.ks"
    ]


def test_where_it_does_not_start_is_named(medium: Path) -> None:
    tree = read_tree(medium)
    efi = catalog_entry(medium, 104)
    menu = medium.read_bytes().index(tree["EFI/BOOT/grub.cfg"][:40], efi)
    change(medium, menu, b"X")
    found = boots(medium, tree)
    assert [place for place in BOOTS if found[place]] == ["UEFI CD", "UEFI USB"]
    assert "without kickstart" in found["UEFI USB"]
    change(medium, 0, bytes(440))
    assert boots(medium, tree)["BIOS USB"] == "the MBR has no boot code"
    change(medium, catalog_entry(medium, 40) + 12, bytes(4))
    assert "own place" in boots(medium, tree)["BIOS CD"]
    change(medium, 510, bytes(2))
    assert "no partition table" in boots(medium, tree)["BIOS USB"]


def gpt_of(medium: Path) -> tuple[int, int]:
    """The byte offsets of the backup header and of its array of entries."""
    raw = medium.read_bytes()
    (backup,) = struct.unpack_from("<Q", raw, 512 + 32)
    (entries,) = struct.unpack_from("<Q", raw, backup * 512 + 72)
    return backup * 512, entries * 512


def sealed(medium: Path, header: int) -> None:
    """Give a GPT header its right checksum again."""
    raw = bytearray(medium.read_bytes()[header : header + 92])
    raw[16:20] = bytes(4)
    change(medium, header + 16, struct.pack("<I", zlib.crc32(raw)))


def resealed(medium: Path, offset: int, content: bytes) -> None:
    """Change the backup header, its checksum right."""
    header, _ = gpt_of(medium)
    change(medium, header + offset, content)
    sealed(medium, header)


def other_start(medium: Path) -> None:
    """Let the second partition of a whole GPT begin a sector later, its checksums right."""
    backup, copy = gpt_of(medium)
    (count,) = struct.unpack_from("<I", medium.read_bytes(), 512 + 80)
    entries = bytearray(medium.read_bytes()[1024 : 1024 + count * 128])
    (first,) = struct.unpack_from("<Q", entries, 128 + 32)
    struct.pack_into("<Q", entries, 128 + 32, first + 1)
    for header, array in ((512, 1024), (backup, copy)):
        change(medium, array, bytes(entries))
        change(medium, header + 88, struct.pack("<I", zlib.crc32(entries)))
        sealed(medium, header)


GPT_DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "the header": (lambda m: change(m, 512 + 48, b"\1"), "checksum of the GPT is wrong"),
    "an entry": (lambda m: change(m, 1024 + 56, b"X"), "checksum of its partition entries"),
    "the backup": (lambda m: change(m, gpt_of(m)[0] + 48, b"\1"), "checksum of the backup GPT"),
    "no backup": (lambda m: change(m, gpt_of(m)[0], bytes(512)), "the backup GPT has no valid"),
    "a copy": (lambda m: change(m, gpt_of(m)[1] + 56, b"X"), "two copies of its GPT differ"),
    "the backup's sum": (
        lambda m: resealed(m, 88, bytes(4)),
        "wrong in the backup GPT",
    ),
    "the way back": (
        lambda m: resealed(m, 32, b"\2"),
        "does not know where the first one is",
    ),
    "another disk": (
        lambda m: resealed(m, 56, bytes(16)),
        "two headers of its GPT differ",
    ),
    "only the backup": (lambda m: change(m, 512, bytes(512)), "only the backup at its end is left"),
    "another place": (other_start, "no partition of its GPT is images/efiboot.img"),
}


@pytest.mark.parametrize("name", GPT_DAMAGE)
def test_a_damaged_gpt(medium: Path, name: str) -> None:
    """What EDK2 or another firmware would see, though El Torito and the MBR are as they were."""
    damage, words = GPT_DAMAGE[name]
    damage(medium)
    said = ksbuild("inspect", medium)
    assert said.exit_code == 4, said.output
    (line,) = [line for line in said.output.splitlines() if line.startswith("  GPT")]
    assert "DAMAGED: " in line
    assert words in line
    machine = json.loads(ksbuild("inspect", "--json", medium).stdout)
    assert list(machine["damaged"]) == ["GPT"]
    assert [place for place, reason in machine["boots"].items() if reason] == ["UEFI USB"]


def test_the_layout_is_told(made: Path) -> None:
    lines = ksbuild("inspect", made).output.splitlines()
    parts = {line[2:11].strip(): line[12:] for line in lines[-9:-4]}
    assert parts["ISO 9660"].startswith("Rock Ridge and Joliet names, ")
    assert "BIOS starts isolinux/isolinux.bin" in parts["El Torito"]
    assert parts["FAT"].endswith("with BOOTX64.EFI, GRUBX64.EFI, MMX64.EFI")
    assert "images/efiboot.img" in parts["MBR"]
    assert "a backup that agrees" in parts["GPT"]
    machine = json.loads(ksbuild("inspect", "--json", made).stdout)
    assert machine["layout"] == parts
    assert machine["damaged"] == {}


def fat_of(medium: Path) -> tuple[int, int, int]:
    """Byte offset of the EFI image, and of both copies of its table."""
    start, raw = catalog_entry(medium, 104), medium.read_bytes()
    (sector, _, reserved) = struct.unpack_from("<HBH", raw, start + 11)
    (sectors,) = struct.unpack_from("<H", raw, start + 22)
    first = start + reserved * sector
    return start, first, first + sectors * sector


def test_a_damaged_fat(medium: Path) -> None:
    _, _, second = fat_of(medium)
    change(medium, second + 9, b"\xff\xff")
    said = ksbuild("inspect", medium)
    assert said.exit_code == 4
    assert "FAT       DAMAGED: the copies of the table in images/efiboot.img differ" in said.output


def test_a_loader_in_the_fat_that_is_cut_short(medium: Path) -> None:
    _, first, second = fat_of(medium)
    raw = medium.read_bytes()
    cells = bytearray(raw[first:second])
    cells[12:] = bytes(len(cells) - 12)
    for table in (first, second):
        change(medium, table, bytes(cells))
    said = ksbuild("inspect", medium)
    assert said.exit_code == 4
    assert "FAT       DAMAGED: " in said.output


def test_tables_that_do_not_reach_to_the_fats_end(medium: Path) -> None:
    raw = medium.read_bytes()
    (catalog,) = struct.unpack_from("<I", raw, 17 * 2048 + 71)
    change(medium, 446 + 16 + 12, struct.pack("<I", 8))
    change(medium, catalog * 2048 + 102, struct.pack("<H", 8))
    machine = json.loads(ksbuild("inspect", "--json", medium).stdout)
    assert list(machine["damaged"]) == ["FAT"]
    assert "gives images/efiboot.img 8 of " in machine["damaged"]["FAT"]
    change(medium, catalog * 2048 + 102, raw[catalog * 2048 + 102 : catalog * 2048 + 104])
    machine = json.loads(ksbuild("inspect", "--json", medium).stdout)
    assert list(machine["damaged"]) == ["MBR"]
    change(medium, 446 + 16 + 12, struct.pack("<I", 0x7FFFFFFF))
    said = ksbuild("inspect", medium)
    assert said.exit_code == 4
    assert "the second partition of its MBR ends at byte " in said.output


def test_a_boot_catalog_that_starts_something_else(medium: Path) -> None:
    raw = medium.read_bytes()
    (catalog,) = struct.unpack_from("<I", raw, 17 * 2048 + 71)
    (block,) = struct.unpack_from("<I", raw, catalog * 2048 + 104)
    change(medium, catalog * 2048 + 104, struct.pack("<I", block + 1))
    said = ksbuild("inspect", medium)
    assert said.exit_code == 4
    assert f"El Torito DAMAGED: its boot catalog starts block {block + 1}, " in said.output


def test_a_medium_cut_short(medium: Path) -> None:
    with medium.open("r+b") as file:
        file.truncate(medium.stat().st_size - 1024 * 1024)
    said = ksbuild("inspect", medium)
    assert said.exit_code == 4
    size = medium.stat().st_size
    assert f"{medium} is cut short: {size} of {size + 1024 * 1024} bytes" in said.stderr


def test_a_demonstration_says_so(demo_source: Path, tmp_path: Path) -> None:
    where: list[str | Path] = ["-o", tmp_path / "demo.iso", "--keys", tmp_path / "keys"]
    made = ksbuild("iso", ROOT / "profiles/example.toml", "--source", demo_source, *where)
    assert made.exit_code == 0, made.output
    profile = ROOT / "profiles/example.toml"
    assert made.output.splitlines()[-2:] == [
        f"next, to see it boot: ksbuild try {profile} {tmp_path / 'demo.iso'} --node julius",
        f"next, for a medium that installs: ksbuild iso {profile} --source EL9.iso",
    ]
    assert (
        "\n  demonstration: installs nothing\n" in ksbuild("inspect", tmp_path / "demo.iso").output
    )


@pytest.mark.parametrize("content", [b"", b"no ISO at all" * 9000])
def test_what_is_no_medium(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.iso").write_bytes(content)
    said = ksbuild("inspect", tmp_path / "x.iso")
    assert said.exit_code == 4
    assert "next: " in said.stderr


def test_an_iso_of_somebody_else(el9_iso: Path) -> None:
    assert ksbuild("inspect", el9_iso).exit_code == 4
