"""A power cut loses what a disk's write cache held, and nothing that was flushed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.uml import kernel
from tests.uml.disk import blank_disk
from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.machine import Disk, Hardware, Machine, write_cache

SECTOR = 512
# What the program writes where; every sector is filled with one letter.
PROGRAM = """
import os, sys
handle = os.open(sys.argv[1], os.O_RDWR)
def put(letter, first, count=1):
    assert os.pwrite(handle, letter * 512 * count, first * 512) == 512 * count
def seen(first, count=1):
    return os.pread(handle, 512 * count, first * 512)
put(b"a", 0, 20)
os.fdatasync(handle)
put(b"b", 1)
put(b"c", 6, 4)
assert seen(0, 12) == b"a" * 512 + b"b" * 512 + b"a" * 2048 + b"c" * 2048 + b"a" * 1024
assert os.pread(handle, 600, 500) == b"a" * 12 + b"b" * 512 + b"a" * 76
again = os.open(sys.argv[1], os.O_RDWR)
os.close(handle)
handle = again
assert seen(1) == b"b" * 512, "closing a disk is no flush"
"""


def run(image: Path, more: str) -> tuple[int, list[str]]:
    """Run the program under the preload; its exit status, and each sector's letter."""
    image.write_bytes(bytes(SECTOR * 64))
    done = subprocess.run(
        ["env", *kernel.environment(image), sys.executable, "-c", PROGRAM + more, str(image)],
        check=False,
    )
    data = image.read_bytes()
    sectors = [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]
    assert all(sector == sector[:1] * SECTOR for sector in sectors)
    return done.returncode, [sector[:1].decode() for sector in sectors]


def test_a_cut_loses_what_was_not_flushed(tmp_path: Path) -> None:
    status, sectors = run(tmp_path / "disk", "os.kill(os.getpid(), 9)")
    assert status == -signal.SIGKILL
    assert sectors == ["a"] * 20 + ["\0"] * 44


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_what_was_flushed_survives_a_cut(tmp_path: Path, call: str) -> None:
    cut = f"os.{call}(handle); put(b'd', 40); os.kill(os.getpid(), 9)"
    status, sectors = run(tmp_path / "disk", cut)
    assert status == -signal.SIGKILL
    assert sectors == [*"abaaaacccc", *"a" * 10] + ["\0"] * 44


@pytest.mark.parametrize(
    "end",
    [
        "",
        "os.execv('/bin/true', ['true'])",
        "import ctypes as c; c.CDLL(None).execvp(b'true', (c.c_char_p * 2)(b'true', None))",
    ],
)
def test_an_orderly_end_writes_it_out(tmp_path: Path, end: str) -> None:
    status, sectors = run(tmp_path / "disk", end)
    assert status == 0
    assert sectors == [*"abaaaacccc", *"a" * 10] + ["\0"] * 44


def test_a_full_cache_is_written_out(tmp_path: Path) -> None:
    fill = "import itertools\nfor at in range(64, 64 + 8 * 16384, 8): put(b'e', at)\n"
    status, sectors = run(tmp_path / "disk", fill + "os.kill(os.getpid(), 9)")
    assert status == -signal.SIGKILL
    assert sectors[:20] == [*"abaaaacccc", *"a" * 10]
    assert set(sectors[64:]) <= {"e", "\0"}
    assert sectors[-8] == "\0", "the last page stayed in the cache"


def test_one_disk_of_a_machine_has_it(tmp_path: Path) -> None:
    disks = [Disk(tmp_path / "a", write_cache=True), Disk(tmp_path / "b", write_cache=True)]
    with pytest.raises(ValueError, match="one disk"):
        write_cache(Hardware(disks=disks))


GUEST = """
put() { head -c 4096 /dev/zero | tr '\\0' "$1" >/tmp/block; }
put s; dd if=/tmp/block of=/dev/ubda bs=4096 seek=1 oflag=direct,dsync status=none
put w; dd if=/tmp/block of=/dev/ubda bs=4096 seek=2 oflag=direct status=none
dd if=/dev/ubda bs=4096 skip=2 count=1 iflag=direct status=none | cmp - /tmp/block
echo written >/dev/console; sleep 60
"""


@pytest.mark.uml
@pytest.mark.parametrize(("cached", "kept"), [(True, "s\0"), (False, "sw")])
def test_a_machine_that_is_cut(
    tmp_path: Path, pair_images: Images, cached: bool, kept: str
) -> None:
    """With the cache a synchronous write survives and another does not; without it, both do."""
    disk = blank_disk(tmp_path / "disk", 1)
    (tmp_path / "script").write_text(GUEST)
    with (
        Lab() as lab,
        Machine(
            lab,
            "cut",
            Hardware(disks=[Disk(disk, write_cache=cached)]),
            [f"standin.out={tmp_path}", "standin.task=script"],
            console=tmp_path / "console",
            initrd=pair_images.installer,
        ) as machine,
    ):
        machine.wait_console("written", 120)
        machine.power_cut()
    with disk.open("rb") as image:
        image.seek(4096)
        assert image.read(1) + image.read(4096)[-1:] == kept.encode()
