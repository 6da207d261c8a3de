"""inspect: what a medium is, and every way in which it may be broken."""

import json
import struct
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


@pytest.mark.parametrize("content", [b"", b"no ISO at all" * 9000])
def test_what_is_no_medium(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.iso").write_bytes(content)
    said = ksbuild("inspect", tmp_path / "x.iso")
    assert said.exit_code == 4
    assert "next: " in said.stderr


def test_an_iso_of_somebody_else(el9_iso: Path) -> None:
    assert ksbuild("inspect", el9_iso).exit_code == 4
