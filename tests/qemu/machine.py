"""Whole machines in QEMU, with firmware, a kernel as distributions ship it, and a power button.

What differs from User-mode Linux: it starts by itself from its disk, or from a disc if the disk has
nothing to start; a cable pulled out of a card takes the card's carrier; the power button is ACPI's;
a restart stays in the same process. What is alike: consoles, power cuts, cables, the local network,
and the write cache of a disk (tests/uml/write_cache.c).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.qemu import qmp
from tests.uml import kernel
from tests.uml.lab import End, Lab, Tap
from tests.uml.machine import Hardware, Nic, write_cache
from tests.uml.running import Running, new_folder

QEMU = "qemu-system-x86_64"
_TCG_CACHE_MIB = 256  # of translated code; QEMU would take a quarter of all memory


@dataclass(frozen=True)
class Started:
    """A kernel that QEMU itself loads, in place of what the firmware finds."""

    kernel: Path
    initrd: Path
    arguments: Sequence[str]


@dataclass(frozen=True)
class Shares:
    """Folders of the host as the machine may mount them (9p), by tag."""

    writable: dict[str, Path]
    read_only: dict[str, Path]


def argv(
    folder: Path,
    hardware: Hardware,
    *,
    accelerator: str = "tcg",
    disc: Path | None = None,
    started: Started | None = None,
    shares: Shares | None = None,
) -> list[str]:
    """QEMU's command line. Raises ValueError for a path with a comma, which would end it there."""
    return [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-vga", "std"),
        *("-machine", "pc", "-m", str(hardware.memory), "-accel", _accelerator(accelerator)),
        *("-cpu", "host" if accelerator == "kvm" else "max,la57=off"),
        *("-serial", "stdio", "-qmp", f"unix:{_plain(folder / 'qmp')},server=on,wait=off"),
        *("-object", "rng-random,id=random,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=random"),
        *_clock(hardware.clock_offset_s),
        *_disks(hardware),
        *_disc(disc),
        *_cards(hardware.nics),
        *_started(started),
        *_shares(shares),
    ]


def _accelerator(name: str) -> str:
    return f"tcg,tb-size={_TCG_CACHE_MIB}" if name == "tcg" else name


def _clock(offset_s: int) -> Iterator[str]:
    if offset_s:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_s)
        yield from ("-rtc", f"base={now:%Y-%m-%dT%H:%M:%S}")


def _disks(hardware: Hardware) -> Iterator[str]:
    for number, disk in enumerate(hardware.disks):
        if disk.overlay:
            raise ValueError("a QEMU machine has no overlays")
        flag = ",readonly=on" if disk.read_only else ""
        # Threads do its reading and writing, by calls that write_cache.c sees.
        yield from ("-drive", f"file={_plain(disk.image)},format=raw,if=none,id=disk{number}{flag}")
        yield "-device"
        yield f"virtio-blk-pci,drive=disk{number},serial=disk{number},bootindex={number + 1}"


def _disc(disc: Path | None) -> Iterator[str]:
    if disc:
        drive = f"file={_plain(disc)},format=raw,if=none,id=disc,readonly=on,media=cdrom"
        yield from ("-drive", drive, "-device", "ide-cd,drive=disc,bootindex=9")


def _cards(nics: Sequence[Nic]) -> Iterator[str]:
    for number, nic in enumerate(nics):
        yield from ("-netdev", f"{_wire(nic.end)},id=wire{number}")
        # Without a ROM no firmware looks for anything to start behind it.
        card = f"virtio-net-pci,netdev=wire{number},id=nic{number},mac={nic.mac},romfile="
        yield from ("-device", card)


def _wire(end: End | Tap) -> str:
    if isinstance(end, Tap):
        return f"tap,ifname={end.name},script=no,downscript=no"
    return (
        f"dgram,local.type=inet,local.host=127.0.0.1,local.port={end.source_port}"
        f",remote.type=inet,remote.host=127.0.0.1,remote.port={end.target_port}"
    )


def _started(started: Started | None) -> Iterator[str]:
    if started:
        yield from ("-kernel", str(started.kernel), "-initrd", str(started.initrd))
        yield from ("-append", " ".join(started.arguments))


def _shares(shares: Shares | None) -> Iterator[str]:
    if shares:
        for folders, flag in ((shares.writable, ""), (shares.read_only, ",readonly=on")):
            for tag, folder in folders.items():
                path = f"local,path={_plain(folder)},mount_tag={tag},security_model=none{flag}"
                yield from ("-virtfs", path)


def _plain(path: Path) -> str:
    text = str(path.resolve())
    if "," in text:
        raise ValueError(f"QEMU cannot take this path: {text}")
    return text


class Machine(Running):
    """One machine in QEMU."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        hardware: Hardware,
        *,
        console: Path,
        accelerator: str = "tcg",
        disc: Path | None = None,
        started: Started | None = None,
        shares: Shares | None = None,
    ) -> None:
        """Start it: what `started` says, else its first disk, else the disc."""
        words = argv(
            new_folder(lab, name),
            hardware,
            accelerator=accelerator,
            disc=disc,
            started=started,
            shares=shares,
        )
        environment = kernel.cache_environment(write_cache(hardware))
        super().__init__(lab, name, ["env", *environment, *words], console=console)

    def ask(self, command: str, **arguments: Any) -> Any:
        """Have QEMU itself carry a command of its monitor protocol out."""
        socket = self.folder / "qmp"
        self._wait(socket.exists, 30, "QEMU opens no door")
        return qmp.ask(socket, command, **arguments)

    def set_link(self, number: int, *, up: bool) -> None:
        """Plug a cable into card `number`, or pull it out: the card loses its carrier."""
        self.ask("set_link", name=f"nic{number}", up=up)

    def shut_down(self, timeout: float = 300) -> None:
        """Press the power button, let systemd stop and unmount all, and ACPI switch it off."""
        self.ask("system_powerdown")
        self.wait_off(timeout)
