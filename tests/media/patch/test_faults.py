"""Disks that are full, read-only or slow, a machine that stops half-way, and reflinks on XFS.

Some file systems are made in files and mounted through loop devices, which takes root.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.media.errors import OutputError, SourceError
from builder.media.patch import clone
from builder.media.patch.medium import Md5, patch_medium
from builder.media.patch.verify import verify_patched
from tests.media.mounts import MEBIBYTE, mounted, xfs
from tests.media.patch.trees import BIG, SMALL, WHEN, said, sha256
from tests.media.sources import master

__all__ = ["xfs"]

ROOT = Path(__file__).parents[3]
MODES: tuple[Md5, ...] = ("implant", "drop")


@pytest.mark.root
@pytest.mark.parametrize("md5", MODES)
@pytest.mark.parametrize("tree", [SMALL, BIG], ids=["padding", "grown"])
def test_reflink_gives_the_same_bytes(
    tiny: Path, tmp_path: Path, xfs: Path, tree: dict[str, bytes], md5: Md5
) -> None:
    shutil.copyfile(tiny, xfs / "source.iso")
    there = patch_medium(xfs / "a.iso", tree, xfs / "source.iso", when=WHEN, md5=md5)
    here = patch_medium(tmp_path / "a.iso", tree, tiny, when=WHEN, md5=md5)
    assert there.how == "reflink"
    assert here.how == "stream"
    assert there.changed == here.changed
    assert sha256(xfs / "a.iso") == sha256(tmp_path / "a.iso")
    assert sha256(xfs / "source.iso") == sha256(tiny)


@pytest.mark.root
def test_reflink_takes_no_room(tiny: Path, xfs: Path) -> None:
    """More copies than the disk could hold."""
    large = xfs / "large.iso"
    shutil.copyfile(tiny, large)
    free = shutil.disk_usage(xfs).free
    with (xfs / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - tiny.stat().st_size)
    for number in range(4):
        patch_medium(xfs / f"{number}.iso", SMALL, large, when=WHEN, md5="drop")
    assert verify_patched(xfs / "3.iso", SMALL, large, every_block=True) < 60


@pytest.mark.parametrize("error", sorted(clone._CANNOT))
@pytest.mark.parametrize("md5", MODES)
def test_every_way_of_copying(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, md5: Md5
) -> None:
    """File systems without direct writes, and kernels without copy_file_range either."""
    real, ways = fcntl.fcntl, []

    def no_direct(file: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL and argument & os.O_DIRECT:
            raise OSError(error, os.strerror(error))
        return real(file, command, argument)

    def cannot(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    def copy() -> str:
        done = patch_medium(tmp_path / "a.iso", BIG, tiny, when=WHEN, md5=md5, force=True)
        ways.append(done.how)
        return sha256(tmp_path / "a.iso")

    sums = [copy()]
    monkeypatch.setattr(fcntl, "fcntl", no_direct)
    sums.append(copy())
    for instead in (cannot, lambda *_: 0):
        monkeypatch.setattr(os, "copy_file_range", instead)
        sums.append(copy())
    assert len(set(sums)) == 1
    assert ways == [
        "stream",
        "stream" if md5 == "implant" else "copy_file_range",
        "stream",
        "stream",
    ]


def test_progress_reaches_its_end(tiny: Path, tmp_path: Path) -> None:
    for md5 in MODES:
        seen: list[tuple[int, int]] = []

        def tell(done: int, total: int, seen: list[tuple[int, int]] = seen) -> None:
            seen.append((done, total))

        patch_medium(tmp_path / md5, SMALL, tiny, when=WHEN, md5=md5, progress=tell)
        assert seen == sorted(seen)
        assert seen[-1] == (tiny.stat().st_size, tiny.stat().st_size)


@pytest.mark.parametrize("md5", MODES)
@pytest.mark.parametrize("kind", ["tmpfs", pytest.param("ext4", marks=pytest.mark.root)])
def test_full_disk(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, md5: Md5, kind: str
) -> None:
    """Seen before writing; and when the disk fills up only later."""
    before = sha256(tiny)
    options: list[str | Path] = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"]
    if kind == "ext4":
        image = tmp_path / "small.img"
        said("mkfs.ext4", "-q", "-O", "^has_journal,^resize_inode", "-m", "0", image, "1600k")
        options = ["-o", "loop", image]
    with mounted(tmp_path / "small", *options) as folder:
        for other in folder.iterdir():
            other.rmdir()
        with pytest.raises(OutputError, match="are free"):
            patch_medium(folder / "a.iso", SMALL, tiny, when=WHEN, md5=md5)
        assert list(folder.iterdir()) == []
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 60))
        with pytest.raises(OutputError, match="full"):
            patch_medium(folder / "a.iso", SMALL, tiny, when=WHEN, md5=md5)
        assert list(folder.iterdir()) == []
    assert sha256(tiny) == before


def test_read_only_target(tiny: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "ro", "-t", "tmpfs", "-o", "ro", "tmpfs") as folder:
        with pytest.raises(OutputError, match="Read-only file system"):
            patch_medium(folder / "a.iso", SMALL, tiny, when=WHEN)
        assert list(folder.iterdir()) == []


KILLED = """
    import signal, sys, time
    from pathlib import Path
    from builder.media.patch.medium import patch_medium

    # What a shell started in the background ignores, its children ignore as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def tell(done, total):
        print("half", flush=True)
        time.sleep(60)

    menus = {"EFI/BOOT/grub.cfg": b"#", "isolinux/isolinux.cfg": b"#"}
    patch_medium(Path(sys.argv[2]), menus, Path(sys.argv[1]), when=0, force=True, progress=tell)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_killed_half_way(tiny: Path, tmp_path: Path, number: signal.Signals) -> None:
    """An older medium stays; a part that SIGKILL leaves is no obstacle to the next run."""
    before = sha256(tiny)
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "a.iso"
    out.write_bytes(b"older")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tiny), str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(number)
        assert process.wait(20) != 0
    left = {"a.iso", "a.iso.part"} if number == signal.SIGKILL else {"a.iso"}
    assert {path.name for path in folder.iterdir()} == left
    assert out.read_bytes() == b"older"
    assert sha256(tiny) == before
    patch_medium(out, SMALL, tiny, when=WHEN, force=True)
    assert [path.name for path in folder.iterdir()] == ["a.iso"]


MEASURED = r"""
    import re, sys
    from pathlib import Path
    from builder.media.patch.medium import patch_medium

    menus = {"EFI/BOOT/grub.cfg": b"#", "isolinux/isolinux.cfg": b"#"}
    patch_medium(Path(sys.argv[2]), menus, Path(sys.argv[1]), when=0, md5=sys.argv[3], force=True)
    # Not ru_maxrss, which a process takes over from the one that started it.
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize("md5", MODES)
def test_memory_does_not_grow_with_the_source(tiny_tree: Path, tmp_path: Path, md5: Md5) -> None:
    """The same source with and without 300 MB of packages."""
    peaks = []
    for megabytes in (0, 300):
        tree = tmp_path / f"tree{megabytes}"
        shutil.copytree(tiny_tree, tree)
        with (tree / "Packages/big").open("wb") as file:
            file.truncate(megabytes * MEBIBYTE)
        iso = tmp_path / f"{megabytes}.iso"
        master(tree, iso)
        code = textwrap.dedent(MEASURED)
        out = subprocess.run(
            [sys.executable, "-c", code, str(iso), str(tmp_path / "out.iso"), md5],
            check=True,
            capture_output=True,
            cwd=ROOT,
        )
        peaks.append(int(out.stdout) // 1024)
    assert max(peaks) < 100
    assert abs(peaks[1] - peaks[0]) < 5


def test_source_that_becomes_shorter(tiny: Path, tmp_path: Path) -> None:
    """Cut while it is copied: refused, nothing left."""
    source = tmp_path / "source.iso"
    shutil.copyfile(tiny, source)
    out = tmp_path / "out"
    out.mkdir()

    def cut(done: int, _: int) -> None:
        os.truncate(source, done)

    with pytest.raises(SourceError, match="shorter"):
        patch_medium(out / "a.iso", SMALL, source, when=WHEN, progress=cut)
    assert list(out.iterdir()) == []
