"""Make the disk start by itself: GRUB of the new system, where that has a kernel to start."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.uml.installer.report import InstallationError, Report
from tests.uml.installer.scripts import SYSROOT
from tests.uml.installer.storage import Mount

# Of the installer's own command line Anaconda keeps the console for the new system.
_KEPT = ("console=",)


def install(
    command: Any,
    mounts: Sequence[Mount],
    uuids: dict[Path, str],
    words: Sequence[str],
    report: Report,
) -> None:
    """Install GRUB for BIOS on the disk of `bootloader --boot-drive`, and write its menu.

    On User-mode Linux, which has no kernel on the disk, a note is all.
    """
    kernels = sorted((SYSROOT / "boot").glob("vmlinuz-*"))
    if not kernels:
        report.notes.append("bootloader: not on this platform")
        return
    if not command.bootDrive:
        raise InstallationError("bootloader names no --boot-drive")
    target = ["grub-install", "--target=i386-pc", f"/dev/{command.bootDrive}"]
    done = subprocess.run(
        ["chroot", str(SYSROOT), *target], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InstallationError(f"grub-install: {done.stderr.strip()[-1000:]}")
    by_place = {mount.place: uuids[mount.device] for mount in mounts if mount.device in uuids}
    own = command.appendLine.split()
    kept = [word for word in words if word.startswith(_KEPT) and word not in own]
    arguments = " ".join([*kept, *own])
    text = menu(kernels[-1].name, by_place, arguments)
    (SYSROOT / "boot/grub/grub.cfg").write_text(text)


def menu(kernel: str, uuids: dict[str, str], arguments: str) -> str:
    """Return a grub.cfg that starts one kernel at once; uuids are of file systems, by place."""
    version = kernel.removeprefix("vmlinuz-")
    below = "" if "/boot" in uuids else "/boot"
    return (
        f"search --no-floppy --fs-uuid --set=root {uuids.get('/boot', uuids['/'])}\n"
        f"linux {below}/{kernel} root=UUID={uuids['/']} ro {arguments}\n"
        f"initrd {below}/initrd.img-{version}\n"
        "boot\n"
    )
