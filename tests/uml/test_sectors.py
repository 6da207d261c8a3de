"""%pre at SCSI disks with large sectors and I/O sizes of their own: the kernel's LIO makes them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.uml.disk import blank_disk
from tests.uml.guard import SENTINEL, digest, put
from tests.uml.images import Images
from tests.uml.installation import Verdict
from tests.uml.lab import Lab
from tests.uml.pair import DISK_GIB, TestPair, build_medium

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

EFI = "mount -t tmpfs none /sys/firmware; mkdir /sys/firmware/efi\n"
# /dev/sda: a file of the host behind a SCSI disk. What the disk tells of itself is set before it is
# plugged in.
PLUG_IN = """
modprobe -a target_core_file tcm_loop sd_mod
mount -t configfs none /sys/kernel/config
truncate -s {gib}G disk.img
cd /sys/kernel/config/target
mkdir -p core/fileio_0/disk loopback/naa.5001405000000001/tpgt_1/lun/lun_0
echo "fd_dev_name=$OLDPWD/disk.img,fd_dev_size=$(({gib} << 30))" >core/fileio_0/disk/control
echo 1 >core/fileio_0/disk/enable
echo {block} >core/fileio_0/disk/attrib/block_size
echo {optimal} >core/fileio_0/disk/attrib/optimal_sectors
echo KS000014 >core/fileio_0/disk/wwn/vpd_unit_serial # without, it tells no sizes at all
echo naa.5001405000000002 >loopback/naa.5001405000000001/tpgt_1/nexus
ln -s $PWD/core/fileio_0/disk loopback/naa.5001405000000001/tpgt_1/lun/lun_0/disk
for _ in {{1..50}}; do [ -e /sys/block/sda/size ] && break; sleep 0.1; done
udevadm settle
cat /sys/block/sda/queue/logical_block_size /sys/block/sda/queue/optimal_io_size
"""


@pytest.fixture(scope="module")
def medium(el9_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sectors")
    return build_medium(el9_iso, folder / "pair.iso", folder / "keys")


@pytest.fixture
def pair(images: Images, medium: Path, tmp_path: Path) -> Iterator[TestPair]:
    """Its first server has another disk, too small to fit, and a sentinel on that."""
    with Lab() as lab:
        made = TestPair(lab, images, medium, tmp_path / "servers")
        small = made.servers[0].disk
        small.unlink()
        put(blank_disk(small, 8), 1 << 20, SENTINEL)
        yield made
        made.close()


def install(pair: TestPair, *, block: int, optimal: int, script: str = "") -> tuple[Verdict, Path]:
    """Install on a disk that tells these sizes; the verdict and its image."""
    server = pair.servers[0]
    before = digest(server.disk)
    script += PLUG_IN.format(gib=DISK_GIB, block=block, optimal=optimal // block)
    verdict = pair.install(server, script=script)
    assert digest(server.disk) == before
    assert verdict.logs["script.log"].splitlines()[-2:] == [str(block), str(optimal)]
    return verdict, server.folder / "install/out/disk.img"


def starts(image: Path, block: int) -> dict[str, int]:
    """Where the partitions begin, in sectors of 512 bytes, as fdisk reads the table."""
    argv: list[str | Path] = ["fdisk", "-b", str(block), "-l", "-o", "Start,Name", image]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    words = (line.split(maxsplit=1) for line in said.splitlines())
    return {w[1]: int(w[0]) * block // 512 for w in words if len(w) == 2 and w[0].isdigit()}


def test_sectors_of_4096_bytes(pair: TestPair) -> None:
    verdict, image = install(pair, block=4096, optimal=1 << 20, script=EFI)
    assert verdict.success, verdict.reason + verdict.script_tail
    found = starts(image, 4096)
    assert found["ks-biosboot"] == 2048
    assert found["ks-data"] == -(-(36 << 21) // 10240) * 10240  # lcm(1 MiB, 5 x 256 KiB)
    assert "ks-root" in found, "the last line of %post"


def test_sectors_of_4096_bytes_without_uefi(pair: TestPair) -> None:
    verdict, image = install(pair, block=4096, optimal=1 << 20)
    assert not verdict.success
    assert "sectors of 4096 bytes, which a BIOS cannot start from" in verdict.script_tail
    assert not image.stat().st_blocks, "nothing was ever written"


@pytest.mark.parametrize(
    ("optimal", "grain"),
    [
        pytest.param(768 << 10, 30720, id="a RAID's full stripe"),
        pytest.param(16383 * 512, 10240, id="a controller's nonsense", marks=pytest.mark.slow),
    ],
)
def test_the_disks_io_sizes_count(pair: TestPair, optimal: int, grain: int) -> None:
    verdict, image = install(pair, block=512, optimal=optimal)
    assert verdict.success, verdict.reason + verdict.script_tail
    assert starts(image, 512)["ks-data"] == -(-(36 << 21) // grain) * grain
