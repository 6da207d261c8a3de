"""What is accepted as a source, and what is refused with which words."""

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.media.errors import SourceError
from builder.media.source import REQUIRED, open_source
from tests.media.sources import EL9_LABEL, GRUB_CONFIG, TREEINFO, el9_tree, master


def refused(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught, open_source(path):
        pytest.fail("the source must be refused")
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture
def variant(demo_source: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of EL9 media that differ from the real one in some files."""

    def make(changes: dict[str, str | None], *, bootable: bool = True) -> Path:
        tree = tmp_path / "tree"
        el9_tree(demo_source, tree)
        # The big ones are not looked into.
        for name in ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"):
            (tree / name).write_bytes(b"x" * 100)
        for name, text in changes.items():
            if text is None:
                (tree / name).unlink()
            else:
                (tree / name).write_text(text)
        master(tree, tmp_path / "variant.iso", bootable=bootable)
        shutil.rmtree(tree)
        return tmp_path / "variant.iso"

    return make


def test_el9(el9_iso: Path) -> None:
    with open_source(el9_iso) as source:
        assert source.volume_id == EL9_LABEL
        assert source.release == "AlmaLinux 9.6"
        assert not source.demonstration
        assert (source.grub_linux, source.grub_initrd) == ("linuxefi", "initrdefi")
        assert source.has("EFI/BOOT/mmx64.efi")
        assert not source.has("EFI/BOOT")
        assert not source.has("no/such/file")
        assert source.read("EFI/BOOT/grub.cfg") == GRUB_CONFIG.encode()
        part = source.stream("images/pxeboot/vmlinuz")
        assert part.stream.read() == source.read("images/pxeboot/vmlinuz")
        with pytest.raises(SourceError, match="no/such/file cannot be read"):
            source.read("no/such/file")


def test_demonstration(demo_source: Path) -> None:
    with open_source(demo_source) as source:
        assert source.demonstration
        assert source.volume_id == "KSBUILD-DEMO-SRC"
        assert source.grub_linux == "linuxefi"


def test_boot_iso_has_only_a_discinfo(variant: Callable[..., Path]) -> None:
    with open_source(variant({".treeinfo": None})) as source:
        assert source.release == "AlmaLinux 9.6"
        assert source.architecture == "x86_64"


def test_words_of_upstream_grub(variant: Callable[..., Path]) -> None:
    config = GRUB_CONFIG.replace("linuxefi", "linux").replace("initrdefi", "initrd")
    with open_source(variant({"EFI/BOOT/grub.cfg": config})) as source:
        assert (source.grub_linux, source.grub_initrd) == ("linux", "initrd")


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_boot_file_is_named(variant: Callable[..., Path], name: str) -> None:
    assert f"has no {name}" in refused(variant({name: None}, bootable=False)).message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({".treeinfo": TREEINFO.replace("9.6", "10.0")}, "is AlmaLinux 10.0, not Enterprise"),
        ({".treeinfo": TREEINFO.replace("9.6", "8.10")}, "is AlmaLinux 8.10, not Enterprise"),
        ({".treeinfo": TREEINFO.replace("9.6", "90")}, "is AlmaLinux 90, not Enterprise"),
        ({".treeinfo": TREEINFO.replace("x86_64", "aarch64")}, "is for aarch64, not x86_64"),
        ({".treeinfo": "arch = x86_64\n"}, ".treeinfo cannot be read"),
        ({".treeinfo": ""}, "unknown architecture"),
        ({".treeinfo": None, ".discinfo": "1\nAlmaLinux 10.0\nx86_64\n"}, "AlmaLinux 10.0"),
        ({".treeinfo": None, ".discinfo": "1\n9.6\naarch64\n"}, "is for aarch64"),
        ({".treeinfo": None, ".discinfo": ""}, "unknown architecture"),
        ({".treeinfo": None, ".discinfo": None}, "neither .treeinfo nor .discinfo"),
    ],
)
def test_other_releases_and_architectures(
    variant: Callable[..., Path], changes: dict[str, str | None], words: str
) -> None:
    assert words in refused(variant(changes)).message


def test_things_that_are_no_iso(tmp_path: Path) -> None:
    for name, content in (
        ("empty", b""),
        ("random", bytes(range(256)) * 1000),
        ("short", b"CD001"),
    ):
        (tmp_path / name).write_bytes(content)
        assert "is not an ISO 9660 image" in refused(tmp_path / name).message
    assert "is a folder" in refused(tmp_path).message
    assert "No such file" in refused(tmp_path / "none").message


def test_truncated(demo_source: Path, tmp_path: Path) -> None:
    whole = demo_source.read_bytes()
    for size in (20 * 2048, 100 * 2048, len(whole) // 2, len(whole) - 2_000_000):
        cut = tmp_path / "cut.iso"
        cut.write_bytes(whole[:size])
        assert re.search("cut short|is not an ISO", refused(cut).message)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(16 * 2048, 60 * 2048), st.binary(min_size=1, max_size=40))))
def test_damaged_structures_never_end_in_a_traceback(
    demo_source: Path, tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.iso"
    if not path.exists():
        shutil.copyfile(demo_source, path)
    with demo_source.open("rb") as good, path.open("r+b") as file:
        file.write(good.read(64 * 2048))
        for place, junk in damage:
            file.seek(place)
            file.write(junk)
    # Any other exception is the failure this looks for.
    with contextlib.suppress(SourceError), open_source(path) as source:
        for name in REQUIRED[:4]:
            source.read(name)
