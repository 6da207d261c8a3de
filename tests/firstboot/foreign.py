"""What others leave on a disk: by their own tools, or byte by byte where a tool needs its kernel.

FOREIGN maps a name to how it is made, on how many bytes, and what `wipefs -n` calls it. Layouts
written by hand are those that util-linux 2.38 reads (libblkid/src/superblocks).
"""

import struct
import subprocess
from pathlib import Path

from tests.firstboot import devices
from tests.firstboot.devices import MIB, SIZE, Prepare, gfs2, raw, tool

SENTINEL = b"data that nobody has a copy of" * 1000
AT = 20 * MIB  # where the sentinel lies: behind every head, before every tail


def zfs() -> bytes:
    """A vdev label's ring of uberblocks, each told by its magic; the first is at 128 KiB."""
    return b"".join((0x00BAB10C).to_bytes(8, "little") + bytes(1016) for _ in range(16))


def bcache() -> bytes:
    """A backing device's superblock, version 1; it lies in sector 8 and says so."""
    magic = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
    return struct.pack("<QQQ16s16s", 0, 8, 1, magic, b"\x5e" * 16)


def member() -> bytes:
    """Superblock 1.2 of a member of a RAID 1 of two, with its checksum; it lies at 4 KiB."""
    fields = struct.pack("<IIII16s32s", 0xA92B4EFC, 1, 0, 0, b"\x5e" * 16, b"old:0")
    fields += struct.pack("<QIIQII", 0, 1, 0, 40 << 11, 0, 2)
    fields = fields.ljust(128, b"\0") + struct.pack("<QQQ", 2048, 40 << 11, 8)
    fields = fields.ljust(216, b"\0")
    roles = struct.pack("<HH", 0, 1)
    tail = struct.pack("<I", 2).ljust(36, b"\0") + roles
    total = sum(struct.unpack("<65I", fields + bytes(4) + tail))
    checksum = (total & 0xFFFFFFFF) + (total >> 32)
    return fields + struct.pack("<I", checksum & 0xFFFFFFFF) + tail


def iso(loop: Path) -> None:
    """A disc's image, as one that was written to a stick."""
    argv = ["genisoimage", "-quiet", "-V", "OLD", __file__]
    image = subprocess.run(argv, capture_output=True, check=True).stdout
    devices.put(loop, 0, image)


def table(label: str) -> Prepare:
    """A partition table with one partition."""
    return lambda loop: devices.command(
        "sfdisk", "-q", str(loop), stdin=f"label: {label}\nstart=16384\n"
    )


FOREIGN: "dict[str, tuple[Prepare, int, str]]" = {
    "ext4": (tool("mkfs.ext4", "-q"), SIZE, "ext4"),
    "vfat": (tool("mkfs.vfat"), SIZE, "vfat"),
    "iso9660": (iso, SIZE, "iso9660"),
    "swap": (tool("mkswap"), SIZE, "swap"),
    "lvm": (tool("pvcreate", "-qq", "--devicesfile", ""), SIZE, "LVM2_member"),
    "luks1": (raw(0, b"LUKS\xba\xbe\x00\x01" + bytes(504)), SIZE, "crypto_LUKS"),
    "luks2": (raw(0, b"LUKS\xba\xbe\x00\x02" + bytes(504)), SIZE, "crypto_LUKS"),
    "gpt": (table("gpt"), SIZE, "gpt"),
    "dos": (table("dos"), SIZE, "dos"),
    "gfs2": (gfs2("00015:FS0"), SIZE, "gfs2"),
    "zfs": (raw(MIB // 8, zfs()), 80 * MIB, "zfs_member"),
    "md": (raw(4096, member()), SIZE, "linux_raid_member"),
    "bcache": (raw(4096, bcache()), SIZE, "bcache"),
    "vmfs": (raw(MIB, b"\x0d\xd0\x01\xc0" + bytes(508)), SIZE, "VMFS_volume_member"),
}
