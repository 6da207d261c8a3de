"""Where the operating system's partitions lie, in sectors of 512 bytes.

Where the data partition starts is decided on the disk itself, which tells its I/O sizes
(kickstarts/parts/layout.sh.j2); here is what is known before.
"""

import math
from dataclasses import dataclass

MIB = 2048
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Partition:
    """One GPT entry of the operating system: `start` and `size` in sectors of 512 bytes."""

    name: str
    start: int
    size: int
    type_guid: str


# Type GUIDs: UEFI specification and the Discoverable Partitions Specification. Root and data carry
# plain ones on purpose: nothing may mount them because of their type.
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX_DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
LINUX_SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
LINUX_RESERVED = "8DA63339-0007-60C0-C436-083AC8230908"

# What the root partition is called from %pre until the last line of %post.
UNFINISHED = "ks-unfinished"

_FIXED = (
    ("biosboot", 1 * MIB, BIOS_BOOT),
    ("esp", 600 * MIB, EFI_SYSTEM),
    ("boot", 1 * GIB, LINUX_DATA),
    ("swap", 4 * GIB, LINUX_SWAP),
)


def os_partitions(os_gib: int) -> tuple[Partition, ...]:
    """The operating system's five partitions, which end exactly at `os_gib` GiB."""
    start, found = 1 * MIB, []
    for name, size, guid in _FIXED:
        found.append(Partition(name, start, size, guid))
        start += size
    found.append(Partition("root", start, os_gib * GIB - start, LINUX_DATA))
    return tuple(found)


def grain(stripe_kib: int = 0) -> int:
    """Sectors that the profile asks the data partition's start to divide by: lcm(1 MiB, stripe)."""
    return math.lcm(MIB, stripe_kib * 2) if stripe_kib else MIB


def data_start(os_gib: int, grain_sectors: int) -> int:
    """Planned start: the first multiple of the grain at or behind the operating system."""
    return aligned(os_gib * GIB, grain_sectors)


def aligned(sector: int, grain_sectors: int) -> int:
    """The first multiple of the grain at or behind a sector."""
    return -(-sector // grain_sectors) * grain_sectors
