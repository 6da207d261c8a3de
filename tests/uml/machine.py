"""Whole machines in User-mode Linux: started, watched, asked and cut off from power."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.uml import kernel, mconsole
from tests.uml.lab import End, Lab, Tap
from tests.uml.running import Running, new_folder

RESTARTING = "reboot: Restarting system"


@dataclass(frozen=True)
class Nic:
    """A network interface; the n-th of a machine is vec<n> in it."""

    mac: str
    end: End | Tap


@dataclass(frozen=True)
class Disk:
    """A block device; the n-th of a machine is /dev/ubd<a, b, ...> in it.

    With overlay the image is never written: what the machine writes goes to that new file. With
    write_cache a power cut loses what was not flushed; one disk of a machine may have it.
    """

    image: Path
    read_only: bool = False
    overlay: Path | None = None
    write_cache: bool = False


@dataclass(frozen=True)
class Hardware:
    """What a machine is made of; memory is in MiB, its clock is clock_offset_s seconds off."""

    disks: Sequence[Disk] = ()
    nics: Sequence[Nic] = ()
    memory: int = 512
    clock_offset_s: int = 0


def scratch_folder() -> Path:
    """Return the folder for disks and memory: /dev/shm if it fits, where nothing seeks, or /tmp.

    It fits with 3 GiB free and no noexec, because UML maps its memory's file executable.
    """
    shm = Path("/dev/shm")
    if shm.is_dir() and os.access(shm, os.W_OK):
        noexec = os.statvfs(shm).f_flag & os.ST_NOEXEC
        if not noexec and shutil.disk_usage(shm).free >= 3 << 30:
            return shm
    return Path(tempfile.gettempdir())


def kernel_argv(
    name: str, folder: Path, hardware: Hardware, arguments: Sequence[str], initrd: Path | None
) -> list[str]:
    """Return linux.uml's command line.

    Raises ValueError for a path UML would cut in pieces at a space, comma or colon.
    """
    argv = [str(kernel.LINUX), f"umid={name}", f"uml_dir={folder}/", f"mem={hardware.memory}M"]
    argv += ["con=null", "con0=null,fd:1", "ssl=null"]
    argv += [f"initrd={_plain(initrd)}"] if initrd else []
    for number, disk in enumerate(hardware.disks):
        flags = "r" if disk.read_only else ""
        files = [disk.overlay, disk.image] if disk.overlay else [disk.image]
        argv.append(f"ubd{number}{flags}={','.join(_plain(path) for path in files)}")
    for number, nic in enumerate(hardware.nics):
        argv.append(f"vec{number}:{_transport(nic.end)},mac={nic.mac}")
    return [*argv, *arguments]


def write_cache(hardware: Hardware) -> Path | None:
    """The image that gets a write cache, as kernel_argv() names it; ValueError for two."""
    found = [Path(_plain(disk.image)) for disk in hardware.disks if disk.write_cache]
    if len(found) > 1:
        raise ValueError("one disk of a machine may have a write cache")
    return found[0] if found else None


def _transport(end: End | Tap) -> str:
    if isinstance(end, Tap):
        return f"transport=tap,ifname={end.name}"
    return (
        "transport=l2tpv3,udp=1,src=127.0.0.1,dst=127.0.0.1"
        f",srcport={end.source_port},dstport={end.target_port},rx_session=0x1,tx_session=0x1"
    )


def _plain(path: Path) -> str:
    text = str(path.resolve())
    if any(mark in text for mark in " ,:"):
        raise ValueError(f"User-mode Linux cannot take this path: {text}")
    return text


class Machine(Running):
    """One machine in User-mode Linux."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        hardware: Hardware,
        arguments: Sequence[str],
        *,
        console: Path,
        initrd: Path | None = None,
    ) -> None:
        """Start the machine; arguments are its kernel's, console a file that is written anew."""
        argv = kernel_argv(name, new_folder(lab, name), hardware, arguments, initrd)
        environment = kernel.environment(write_cache(hardware), hardware.clock_offset_s)
        memory = {"TMPDIR": str(scratch_folder())}  # the file that is its memory
        words = ["env", *environment, *argv]
        super().__init__(lab, name, words, console=console, environment=memory)

    def mconsole(self, command: str) -> str:
        """Ask the management console, e.g. "version", "sysrq s", "stop", "go", "config vec1"."""
        socket = self.folder / self.name / "mconsole"
        self._wait(socket.exists, 30, "no management console")
        return mconsole.ask(socket, command)

    def shut_down(self, timeout: float = 120) -> None:
        """Press Ctrl-Alt-Del, let systemd stop and unmount all, then cut the power.

        User-mode Linux would start anew: the cut comes at the last word of the old kernel, long
        before the new one has its disk.
        """
        before = self.console_text().count(RESTARTING)
        self.mconsole("cad")
        self._wait(
            lambda: self.console_text().count(RESTARTING) > before, timeout, "no orderly end"
        )
        self.power_cut()
