"""Where every partition starts, in sectors of 512 bytes."""

import math
from dataclasses import dataclass

MIB = 2048
GIB = 1024 * MIB
_LARGEST_SANE_IO = 64 * 1024 * 1024


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


def grain(*, stripe_kib: int = 0, minimum_io: int = 0, optimal_io: int = 0) -> int:
    """Sectors that divide the data partition's start: lcm(1 MiB, stripe, sane I/O sizes).

    `minimum_io` and `optimal_io` are bytes as sysfs tells them. A size that is no multiple of 4096
    or above 64 MiB is a controller's nonsense (33553920 is a known one) and ignored.
    """
    sizes = [size for size in (minimum_io, optimal_io) if _sane(size)]
    return math.lcm(MIB, *(size // 512 for size in (*sizes, stripe_kib * 1024) if size))


def data_start(os_gib: int, grain_sectors: int) -> int:
    """First multiple of the grain at or behind the operating system: the article's ceiling."""
    return -(-os_gib * GIB // grain_sectors) * grain_sectors


def _sane(size: int) -> bool:
    return 0 < size <= _LARGEST_SANE_IO and size % 4096 == 0
