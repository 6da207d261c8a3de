"""The OEMDRV volume, read by others' tools."""

import subprocess
from pathlib import Path

import pytest

from builder.media.errors import MediumError
from builder.media.oemdrv import verify_oemdrv, write_oemdrv

TREE = {"ks.cfg": b"text\n", "julius.ks": b"a" * 5000, "Long name, with dots.v1.txt": b""}
WHEN = 1_700_000_000


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "oemdrv.iso"
    with path.open("w+b") as out:
        write_oemdrv(out, TREE, when=WHEN)
    return path


def said(*words: str | Path) -> str:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_label_and_files(volume: Path, tmp_path: Path) -> None:
    verify_oemdrv(volume, TREE)
    assert volume.stat().st_size < 200_000
    # What udev's rule for Anaconda looks at.
    assert said("blkid", "-p", "-s", "LABEL", "-o", "value", volume) == "OEMDRV\n"
    assert "/ks.cfg" in said("isoinfo", "-f", "-R", "-i", volume)
    assert "/ks.cfg" in said("isoinfo", "-f", "-J", "-i", volume)
    assert "El Torito" not in said("isoinfo", "-d", "-i", volume).replace("NO El Torito", "")
    said("xorriso", "-osirrox", "on", "-indev", volume, "-extract", "/", tmp_path / "out")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == TREE


def test_same_bytes(volume: Path, tmp_path: Path) -> None:
    with (tmp_path / "again.iso").open("w+b") as out:
        write_oemdrv(out, dict(reversed(TREE.items())), when=WHEN)
    assert (tmp_path / "again.iso").read_bytes() == volume.read_bytes()


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"julius.ks": b""}, "no ks.cfg"),
        ({"ks.cfg": b"", "a/b": b""}, "'a/b' cannot be"),
        ({"ks.cfg": b"", "..": b""}, "'..' cannot be"),
        ({"ks.cfg": b"", "n" * 65: b""}, "cannot be"),
    ],
)
def test_refused(tmp_path: Path, tree: dict[str, bytes], words: str) -> None:
    with (tmp_path / "x").open("w+b") as out, pytest.raises(MediumError, match=words):
        write_oemdrv(out, tree, when=WHEN)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({**TREE, "ks.cfg": b"other"}, "ks.cfg differs"),
        ({**TREE, "more": b""}, "other files than were written: more"),
        ({"ks.cfg": b"text\n"}, "julius.ks"),
    ],
)
def test_verify_tells(volume: Path, tree: dict[str, bytes], words: str) -> None:
    with pytest.raises(MediumError, match=words):
        verify_oemdrv(volume, tree)


def test_verify_tells_damage(volume: Path) -> None:
    whole = volume.read_bytes()
    volume.write_bytes(whole.replace(b"text\n", b"tEXT\n"))
    with pytest.raises(MediumError, match=r"ks.cfg differs"):
        verify_oemdrv(volume, TREE)
    volume.write_bytes(whole.replace(b"OEMDRV", b"OEMDRW"))
    with pytest.raises(MediumError, match="labelled 'OEMDRW'"):
        verify_oemdrv(volume, TREE)
    volume.write_bytes(b"nothing")
    with pytest.raises(MediumError, match="cannot be read back"):
        verify_oemdrv(volume, TREE)
