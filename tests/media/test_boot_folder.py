"""A boot medium with a folder of packages."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.media.boot import expected_bytes, verify_boot_medium, write_boot_medium
from builder.media.errors import MediumError
from builder.media.local import LocalFile
from builder.media.source import open_source
from tests.media.menus import VOLUME_ID, make_tree

WHEN = 1_700_000_000
HASH = "0123456789abcdef" * 4


@pytest.fixture
def extras(tmp_path: Path) -> dict[str, LocalFile]:
    sizes = {
        "ksbuild-extras/repodata/repomd.xml": 3000,
        f"ksbuild-extras/repodata/{HASH}-primary.xml.gz": 0,
        "ksbuild-extras/Packages/l/libstdc++-11.5.0-5.el9~rc1^git.x86_64.rpm": 2_500_000,
        **{f"ksbuild-extras/many-{n:04}.rpm": n for n in range(1500)},
    }
    found = {}
    for path, size in sizes.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        content = (path.encode() * (size // len(path) + 1))[:size]
        (tmp_path / path).write_bytes(content)
        found[path] = LocalFile(
            tmp_path / path, size, "sha256", hashlib.sha256(content).hexdigest()
        )
    return found


def write(source_iso: Path, out: Path, extras: dict[str, LocalFile]) -> dict[str, bytes]:
    """More files than a process may have open."""
    with open_source(source_iso) as source, out.open("w+b") as file:
        tree = make_tree(source, None)
        write_boot_medium(file, tree, source, volume_id=VOLUME_ID, when=WHEN, extras=extras)
        file.flush()
        verify_boot_medium(out, tree, VOLUME_ID, source, extras)
        assert 0 <= expected_bytes(tree, source, extras) - out.stat().st_size < 8_000_000
    return tree


def test_other_tools_read_it(el9_iso: Path, tmp_path: Path, extras: dict[str, LocalFile]) -> None:
    medium, out = tmp_path / "a.iso", tmp_path / "all"
    write(el9_iso, medium, extras)
    words = [
        "xorriso",
        "-osirrox",
        "on",
        "-indev",
        str(medium),
        "-extract",
        "/ksbuild-extras",
        str(out),
    ]
    subprocess.run(words, check=True, capture_output=True)
    there = {f"ksbuild-extras/{f.relative_to(out)}": f for f in out.rglob("*") if f.is_file()}
    assert there.keys() == extras.keys()
    for path, file in extras.items():
        assert there[path].read_bytes() == file.path.read_bytes()
    listed = subprocess.run(["isoinfo", "-R", "-f", "-i", medium], check=True, capture_output=True)
    assert {f"/{path}" for path in extras} <= set(listed.stdout.decode().splitlines())
    kept = medium.read_bytes()
    write(el9_iso, medium, dict(reversed(extras.items())))
    assert medium.read_bytes() == kept


def test_a_changed_file_is_noticed(
    el9_iso: Path, tmp_path: Path, extras: dict[str, LocalFile]
) -> None:
    path, file = next((p, f) for p, f in extras.items() if f.size > 1_000_000)
    few = {path: file}
    content = file.path.read_bytes()
    for other in (content[:-1] + b"!", content[:-1]):
        file.path.write_bytes(other)
        with pytest.raises(MediumError, match="is not what"):
            write(el9_iso, tmp_path / "a.iso", few)
    shutil.copyfile(el9_iso, tmp_path / "a.iso")
    large = {path: LocalFile(file.path, 1 << 32, "sha256", "")}
    with pytest.raises(MediumError, match="less than 4 GiB"):
        write(el9_iso, tmp_path / "a.iso", large)
