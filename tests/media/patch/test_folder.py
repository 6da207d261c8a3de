"""A folder tree on a patched medium, asked with other people's tools."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from builder.media.errors import MediumError
from builder.media.local import LocalFile
from builder.media.patch.medium import Md5, Patched, patch_medium
from builder.media.patch.verify import verify_patched
from tests.media.mounts import xfs
from tests.media.patch.test_faults import MODES
from tests.media.patch.trees import BIG, MANY, SMALL, WHEN, extracted, said, sha256

__all__ = ["xfs"]

TREES = {"small": SMALL, "all": BIG | MANY}
HASH = "0123456789abcdef" * 4
NAMES = {
    "ksbuild-extras/repodata/repomd.xml": 3000,
    f"ksbuild-extras/repodata/{HASH}-primary.xml.gz": 5000,
    f"ksbuild-extras/repodata/{HASH}-filelists.xml.gz": 0,
    "ksbuild-extras/Packages/l/libstdc++-11.5.0-5.el9~rc1^git.x86_64.rpm": 2048,
    "ksbuild-extras/Packages/k/kmod-drbd9x-9.3.3-1.el9_8.elrepo.x86_64.rpm": 2_500_000,
    "ksbuild-extras/Packages/k/kmod-drbd9x-9.3.3-2.el9_8.elrepo.x86_64.rpm": 2047,
    "ksbuild-extras/Packages/k/kmod-drbd9x-9.3.3-3.el9_8.elrepo.x86_64.rpm": 2049,
    **{f"ksbuild-extras/Packages/m/many-{n:03}.rpm": n for n in range(120)},
}


def local(path: Path) -> LocalFile:
    content = path.read_bytes()
    return LocalFile(path, len(content), "sha256", hashlib.sha256(content).hexdigest())


def written(folder: Path, sizes: dict[str, int]) -> dict[str, LocalFile]:
    """Files of these sizes, each with content of its own."""
    found = {}
    for path, size in sizes.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((path.encode() * (size // len(path) + 1))[:size])
        found[path] = local(folder / path)
    return found


@pytest.fixture
def extras(tmp_path: Path) -> dict[str, LocalFile]:
    return written(tmp_path / "here", NAMES)


def patched(
    source: Path,
    out: Path,
    tree: dict[str, bytes],
    extras: dict[str, LocalFile],
    md5: Md5 = "implant",
) -> Patched:
    before = sha256(source)
    done = patch_medium(out, tree, source, when=WHEN, extras=extras, md5=md5, force=True)
    assert sha256(source) == before
    return done


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_every_file_in_both_trees(
    tiny: Path, tmp_path: Path, tree: dict[str, bytes], extras: dict[str, LocalFile]
) -> None:
    medium = tmp_path / "out.iso"
    done = patched(tiny, medium, tree, extras)
    before, after = extracted(tiny, tmp_path / "b"), extracted(medium, tmp_path / "a")
    fat = before.pop("images/efiboot.img")
    assert len(after.pop("images/efiboot.img")) == len(fat)
    wanted = {path: file.path.read_bytes() for path, file in extras.items()}
    menu = {"EFI/BOOT/BOOT.conf": tree["EFI/BOOT/grub.cfg"]}
    assert after == {**before, **tree, **menu, **wanted}
    for names in ("-R", "-J"):
        listed = said("isoinfo", names, "-f", "-i", medium).splitlines()
        there = {line.removesuffix(";1") for line in listed}
        assert {f"/{name}" for name in (*tree, *extras)} <= there
        assert len(listed) == len(set(listed))
    for path, file in list(extras.items())[:8]:
        shown = ["isoinfo", "-R", "-i", str(medium), "-x", f"/{path}"]
        out = subprocess.run(shown, check=True, capture_output=True).stdout
        assert out == file.path.read_bytes()
    assert "No errors found" in said("isovfy", "-i", medium)
    assert done.grown


def test_what_surrounds_it(tiny: Path, tmp_path: Path, extras: dict[str, LocalFile]) -> None:
    """Checksum, partition tables and boot catalog are what they are without the folder."""
    medium = tmp_path / "out.iso"
    done = patched(tiny, medium, SMALL, extras)
    assert "PASS" in said("checkisomd5", medium)
    before = sha256(medium)
    said("implantisomd5", "--force", medium)
    assert sha256(medium) == before
    assert said("sgdisk", "-v", medium, status=2) == said("sgdisk", "-v", tiny, status=2)
    # sfdisk's grain is one of its own for small images.
    dumps = [said("sfdisk", "-d", path).replace(str(path), "") for path in (tiny, medium)]
    tables = [re.sub("grain: .*\n", "", dump) for dump in dumps]
    sectors = tiny.stat().st_size // 512
    assert f"size={sectors:12}" in tables[0]
    assert tables[1] == tables[0].replace(f"size={sectors:12}", f"size={done.size // 512:12}")
    reports = [
        re.findall("^El Torito.*", said("xorriso", "-indev", p, "-report_el_torito", "plain"), re.M)
        for p in (tiny, medium)
    ]
    assert reports[0] == reports[1]
    assert reports[0]


def test_folders_are_sorted_and_readable(
    tiny: Path, tmp_path: Path, extras: dict[str, LocalFile]
) -> None:
    medium = tmp_path / "out.iso"
    patched(tiny, medium, SMALL, extras)
    for options in ([], ["-J"]):
        listings = said("isoinfo", *options, "-l", "-i", medium).split("Directory listing of")[1:]
        for listing in listings:
            found = [line.split("] ")[1].strip() for line in listing.splitlines() if "] " in line]
            keys = [re.split("[;.]", name)[:2] for name in found[2:]]
            assert keys == sorted(keys), listing
    rock_ridge = said("isoinfo", "-R", "-l", "-i", medium)
    # Links: itself, its parent's record of it, and Packages and repodata.
    assert re.search(r"dr-xr-xr-x\s+4\s+0\s+0\s+2048 Nov 14 2023 .* ksbuild-extras", rock_ridge)
    assert re.search(r"-r--r--r--\s+1\s+0\s+0\s+3000 Nov 14 2023 .* repomd.xml", rock_ridge)


@pytest.mark.root
@pytest.mark.parametrize("md5", MODES)
def test_every_way_of_copying_gives_the_same_bytes(
    tiny: Path,
    tmp_path: Path,
    extras: dict[str, LocalFile],
    xfs: Path,
    md5: Md5,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copyfile(tiny, xfs / "source.iso")
    seen: list[tuple[int, int]] = []
    sums, ways = [], []

    def copy(source: Path, out: Path, order: dict[str, LocalFile]) -> None:
        seen.clear()
        done = patch_medium(
            out,
            SMALL,
            source,
            when=WHEN,
            extras=order,
            md5=md5,
            force=True,
            progress=lambda *now: seen.append(now),
        )
        ways.append(done.how)
        sums.append(sha256(out))
        assert seen[-1][0] == seen[-1][1] >= sum(file.size for file in extras.values())

    copy(tiny, tmp_path / "a.iso", extras)
    copy(xfs / "source.iso", xfs / "a.iso", dict(reversed(extras.items())))
    real = fcntl.fcntl

    def no_direct(file: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL and argument & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct writes here")
        return real(file, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", no_direct)
    copy(tiny, tmp_path / "a.iso", extras)
    assert len(set(sums)) == 1
    assert ways == ["stream", "reflink", "stream" if md5 == "implant" else "copy_file_range"]


def test_only_planned_blocks_differ(
    tiny: Path, tmp_path: Path, extras: dict[str, LocalFile]
) -> None:
    from builder.media.patch.planning import plan_patch

    medium = tmp_path / "out.iso"
    patched(tiny, medium, SMALL, extras, "drop")
    with tiny.open("rb") as file:
        size = tiny.stat().st_size
        plan = plan_patch(file.fileno(), size, SMALL, extras, when=WHEN, force=False)
        assert verify_patched(medium, SMALL, tiny, plan, every_block=True)
        raw = bytearray(medium.read_bytes())
        raw[plan.placed[-1].end * 2048] ^= 1
        medium.write_bytes(raw)
        with pytest.raises(MediumError, match="block"):
            verify_patched(medium, SMALL, tiny, plan, every_block=True)


def test_path_tables(tiny: Path, tmp_path: Path, extras: dict[str, LocalFile]) -> None:
    """Read from front to back they give the folders that a walk gives; both orders of bytes do."""
    medium = tmp_path / "out.iso"
    patched(tiny, medium, SMALL, extras)
    for options in ([], ["-J"]):
        table = said("isoinfo", *options, "-p", "-i", medium)
        paths = [""]
        rows = re.findall(r"^ *(\d+): +(\d+) +[0-9a-f]+ (.+)$", table, re.M)
        for number, parent, name in rows:
            assert int(number) == len(paths) + 1
            paths.append(f"{paths[int(parent) - 1]}/{name}")
        listed = said("isoinfo", *options, "-l", "-i", medium)
        walked = re.findall(r"^Directory listing of (.*)/$", listed, re.M)
        assert sorted(paths) == sorted(walked)
        assert sum("extras" in path.lower() for path in paths) == 6
    raw = medium.read_bytes()
    for descriptor in (16 * 2048, 18 * 2048):
        assert raw[descriptor] in (1, 2)
        size = int.from_bytes(raw[descriptor + 132 : descriptor + 136], "little")
        little = int.from_bytes(raw[descriptor + 140 : descriptor + 144], "little") * 2048
        big = int.from_bytes(raw[descriptor + 148 : descriptor + 152], "big") * 2048
        at = 0
        while at < size:
            length = raw[little + at]
            numbers = struct.unpack_from("<IH", raw, little + at + 2)
            assert numbers == struct.unpack_from(">IH", raw, big + at + 2)
            assert raw[little + at + 8 :][:length] == raw[big + at + 8 :][:length]
            at += 8 + length + length % 2
