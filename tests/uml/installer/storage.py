"""Carry out the storage lines: only --onpart partitions, nothing created, nothing else touched."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykickstart.constants import CLEARPART_TYPE_NONE

from tests.uml.installer.report import InstallationError
from tests.uml.installer.scripts import SYSROOT

_MAKE = {
    "xfs": ("mkfs.xfs", "-f", "-q", "-K"),
    "ext4": ("mkfs.ext4", "-F", "-q", "-E", "nodiscard"),
    "efi": ("mkfs.vfat", "-F", "32"),
    "swap": ("mkswap", "-q"),
}
_ESP_NAME = "EFI System Partition"


@dataclass(frozen=True)
class Mount:
    """One `part` line: a real partition, its file system and its place below the root."""

    device: Path
    disk: str  # kernel name of the disk, "ubda"
    fstype: str
    place: str  # "/boot", "swap", "biosboot"
    keep: bool  # --noformat
    label: str = ""


def plan(handler: Any) -> list[Mount]:
    """Return what the lines ask for, checked; InstallationError for all that would create or wipe.

    Nothing has been written when it raises.
    """
    _check_wiping(handler)
    allowed = {_disk_of(resolve(name)) for name in handler.ignoredisk.onlyuse}
    ignored = {_disk_of(resolve(name)) for name in handler.ignoredisk.ignoredisk}
    mounts = [_mount_of(line) for line in handler.partition.partitions]
    for mount in mounts:
        if (allowed and mount.disk not in allowed) or mount.disk in ignored:
            raise InstallationError(f"{mount.place}: {mount.device} is on a disk set aside")
    devices = [mount.device for mount in mounts]
    if len(set(devices)) != len(devices):
        raise InstallationError("two part lines name the same partition")
    if "/" not in [mount.place for mount in mounts]:
        raise InstallationError("no part line for /")
    if handler.zerombr.zerombr:
        _check_labels(allowed or {mount.disk for mount in mounts})
    return mounts


def resolve(spec: str) -> Path:
    """Return the real device of sda4, /dev/..., disk/by-partuuid/..., UUID= or LABEL=.

    PARTUUID= and PARTLABEL= are errors here as in Anaconda.
    """
    kind, equals, value = spec.partition("=")
    if equals and kind in ("UUID", "LABEL"):
        link = Path(f"/dev/disk/by-{kind.lower()}/{value}")
    elif equals:
        raise InstallationError(f"{spec}: Anaconda resolves no {kind}=")
    else:
        link = Path("/dev") / spec.removeprefix("/dev/")
    device = link.resolve()
    if not device.is_block_device():
        raise InstallationError(f"{spec}: no such block device")
    return device


def fstab(mounts: Sequence[Mount], uuids: dict[Path, str]) -> str:
    """Return /etc/fstab as Anaconda writes it, by file system UUID."""
    lines = ["# Created by the stand-in installer"]
    for mount in sorted(mounts, key=lambda m: m.place):
        source = f"UUID={uuids[mount.device]}" if mount.fstype != "biosboot" else ""
        if mount.fstype == "swap":
            lines.append(f"{source} none swap defaults 0 0")
        elif mount.fstype == "efi":
            lines.append(f"{source} {mount.place} vfat umask=0077,shortname=winnt 0 2")
        elif source:
            checks = "0 0" if mount.fstype == "xfs" else "1 1" if mount.place == "/" else "1 2"
            lines.append(f"{source} {mount.place} {mount.fstype} defaults {checks}")
    return "\n".join(lines) + "\n"


def make_file_systems(mounts: Sequence[Mount]) -> None:
    """Format the partitions; formatting the ESP renames it, as measured with Anaconda."""
    for mount in mounts:
        if mount.keep:
            continue
        _call("wipefs", "-a", str(mount.device))
        if mount.fstype in _MAKE:
            label = ("-n" if mount.fstype == "efi" else "-L", mount.label) if mount.label else ()
            _call(*_MAKE[mount.fstype], *label, str(mount.device))
        if mount.fstype == "efi":
            number = (_sysfs(mount.device) / "partition").read_text().strip()
            _call("sfdisk", "--part-label", f"/dev/{mount.disk}", number, _ESP_NAME)
    _call("udevadm", "settle")


def mount_all(mounts: Sequence[Mount]) -> None:
    """Mount the file systems, then the kernel's own, below /mnt/sysroot."""
    for mount in sorted(mounts, key=lambda m: m.place):
        if mount.place.startswith("/"):
            place = SYSROOT / mount.place.lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            kind = "vfat" if mount.fstype == "efi" else mount.fstype
            _call("mount", "-t", kind, str(mount.device), str(place))
    Path("/mnt/sysimage").symlink_to(SYSROOT)


def mount_kernel_views() -> None:
    """Give the chroot /dev, /proc, /sys and /run; the unpacked root has brought the folders."""
    for name in ("dev", "proc", "sys", "run"):
        (SYSROOT / name).mkdir(exist_ok=True)
        _call("mount", "--rbind", f"/{name}", str(SYSROOT / name))


def unmount_all() -> None:
    """Unmount all that is below /mnt/sysroot, so that the journals end clean."""
    for name in ("run", "sys", "proc", "dev"):
        _call("umount", "-R", "-l", str(SYSROOT / name))
    _call("umount", "-R", str(SYSROOT))


def file_system_uuids(mounts: Sequence[Mount]) -> dict[Path, str]:
    """Return the UUID of each file system and swap space."""
    found = {}
    for mount in mounts:
        if mount.fstype != "biosboot":
            found[mount.device] = _call("blkid", "-p", "-s", "UUID", "-o", "value", mount.device)
    return found


def _check_wiping(handler: Any) -> None:
    if handler.clearpart.type not in (None, CLEARPART_TYPE_NONE) or handler.clearpart.initAll:
        raise InstallationError("clearpart would remove partitions: only --none is carried out")
    for line in handler.partition.partitions:
        if not line.onPart:
            raise InstallationError(f"part {line.mountpoint} creates a partition (no --onpart)")
        if line.resize or line.encrypted:
            raise InstallationError(f"part {line.mountpoint}: resizing and encryption have no rule")


def _check_labels(disks: set[str]) -> None:
    """Refuse zerombr where Anaconda would write a new label: on a disk without a known one."""
    for disk in disks:
        done = subprocess.run(
            ["blkid", "-p", "-s", "PTTYPE", "-o", "value", f"/dev/{disk}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.stdout.strip():
            raise InstallationError(f"zerombr would write a new label on {disk}")


def _mount_of(line: Any) -> Mount:
    device = resolve(line.onPart)
    places = {"swap": "swap", "biosboot": "biosboot"}
    fstype = line.fstype or places.get(line.mountpoint, "xfs")
    if fstype not in (*_MAKE, "biosboot"):
        raise InstallationError(f"part {line.mountpoint}: no rule for --fstype={fstype}")
    if not line.mountpoint.startswith("/") and line.mountpoint not in places:
        raise InstallationError(f"part {line.mountpoint}: a mount point begins with /")
    if not (_sysfs(device) / "partition").exists():
        raise InstallationError(f"part {line.mountpoint}: {device} is not a partition")
    return Mount(
        device, _disk_of(device), fstype, line.mountpoint, not line.format, line.label or ""
    )


def _sysfs(device: Path) -> Path:
    return Path("/sys/class/block") / device.name


def _disk_of(device: Path) -> str:
    """Kernel name of the disk a partition is on, or of the disk itself."""
    real = _sysfs(device).resolve()
    return real.parent.name if (real / "partition").exists() else real.name


def _call(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(str(word) for word in argv)
        raise InstallationError(f"{words}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()
