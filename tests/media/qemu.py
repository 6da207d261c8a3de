"""Boot a machine under QEMU and read its serial line.

TCG only: it works on every machine, and KVM inside a virtual machine is not to be relied on.
"""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Firmware = Literal["bios", "uefi", "secure"]
Attachment = Literal["cd", "usb", "disk"]

_OVMF = Path("/usr/share/OVMF")
_ATTACH = {
    "cd": ["-device", "ide-cd,drive=medium,bootindex=0"],
    "usb": ["-device", "qemu-xhci", "-device", "usb-storage,drive=medium,bootindex=0"],
    "disk": ["-device", "virtio-blk-pci,drive=medium,bootindex=0"],
}


@dataclass(frozen=True)
class Machine:
    """A running machine; made by `boot`."""

    process: subprocess.Popen[bytes]
    console: Path

    def output(self) -> str:
        """Return everything the serial line has said."""
        return self.console.read_text("utf-8", "replace")

    def wait_for(self, text: str, timeout_s: float = 150) -> str:
        """Wait until the serial line has said `text` and return all of its output.

        Raises:
            AssertionError: it did not within `timeout_s`, or the machine ended before.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            if text in (said := self.output()):
                return said
            assert not ended, f"the machine ended without {text!r}:\n{said[-3000:]}"
            time.sleep(0.2)
        raise AssertionError(f"no {text!r} after {timeout_s} s:\n{self.output()[-3000:]}")

    def wait_off(self, timeout_s: float = 60) -> int:
        """Wait until the machine has powered itself off and return QEMU's exit status."""
        return self.process.wait(timeout_s)

    def type(self, text: str) -> None:
        """Type on the serial line."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


@contextlib.contextmanager
def boot(
    medium: Path,
    folder: Path,
    *,
    firmware: Firmware,
    attach: Attachment,
    serial_number: str = "",
    disks: Sequence[Path] = (),
    macs: Sequence[str] = (),
    memory_mb: int = 1024,
    run_pre: bool = False,
    restarts: bool = False,
) -> Iterator[Machine]:
    """Boot `medium` read-only and end the machine with the block.

    Args:
        medium: raw image.
        folder: for the console's output and the firmware's variables.
        firmware: SeaBIOS on i440FX, or OVMF on Q35.
        attach: how the machine sees the medium.
        serial_number: system serial number in DMI.
        disks: raw images, writable, as virtio disks.
        macs: one network card each, connected to nothing, so without a link.
        memory_mb: memory in MiB.
        run_pre: the stand-in for the installer runs the kickstart's %pre, as with `make try`.
        restarts: a restart is one; else it ends the machine.
    """
    argv = [
        *("qemu-system-x86_64", "-accel", "tcg", "-m", str(memory_mb), "-nodefaults"),
        # %pre asks for virtualisation, and TCG has AMD's.
        *("-cpu", "qemu64,+svm", "-display", "none", "-vga", "std", "-serial", "stdio"),
        *(() if restarts else ("-no-reboot",)),
        *(("-fw_cfg", "name=opt/ksbuild/try,string=1") if run_pre else ()),
        *_firmware(firmware, folder),
        *_medium(medium, attach),
        *(("-smbios", f"type=1,serial={serial_number}") if serial_number else ()),
        *_disks(disks),
        *_cards(macs),
    ]
    with _running(argv, folder) as machine:
        yield machine


@contextlib.contextmanager
def boot_over(
    tap: str,
    mac: str,
    folder: Path,
    *,
    firmware: Firmware,
    enter: Sequence[str],
    ipxe: bool,
    http: bool,
) -> Iterator[Machine]:
    """Boot a machine without any disk from the network behind `tap`; a restart ends it.

    Args:
        tap: interface that the card is plugged into.
        mac: the card's.
        folder: for the console's output and the firmware's variables.
        firmware: SeaBIOS, OVMF, or OVMF with Secure Boot and Microsoft's keys.
        enter: command that runs another one where the tap is.
        ipxe: the card has iPXE; SeaBIOS starts from no other, OVMF has PXE of its own.
        http: OVMF's own has HTTP Boot alone.
    """
    card = f"virtio-net-pci,netdev=lan,mac={mac},bootindex=0" + ("" if ipxe else ",romfile=")
    knob = "name=opt/org.tianocore/IPv{}PXESupport,string=n"
    argv = [
        *enter,
        *("qemu-system-x86_64", "-accel", "tcg", "-m", "1024", "-nodefaults", "-no-reboot"),
        *("-cpu", "qemu64,+svm", "-display", "none", "-vga", "std", "-serial", "stdio"),
        *_firmware(firmware, folder),
        # SeaBIOS shows on the serial line what iPXE and PXELINUX write on the screen.
        *(("-machine", "pc,graphics=off") if firmware == "bios" else ()),
        # Without random numbers OVMF of 2022 and later starts nothing from the network.
        *("-object", "rng-random,id=random,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=random"),
        *("-netdev", f"tap,id=lan,ifname={tap},script=no,downscript=no"),
        *("-device", card),
        *(("-fw_cfg", knob.format(4), "-fw_cfg", knob.format(6)) if http else ()),
    ]
    with _running(argv, folder) as machine:
        yield machine


@contextlib.contextmanager
def _running(argv: Sequence[str], folder: Path) -> Iterator[Machine]:
    console = folder / "console"
    with (
        console.open("wb") as out,
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield Machine(process, console)
        finally:
            process.kill()


def _medium(medium: Path, attach: Attachment) -> list[str]:
    kind = ",media=cdrom" if attach == "cd" else ""
    drive = f"file={medium},format=raw,if=none,id=medium,readonly=on{kind}"
    return ["-drive", drive, *_ATTACH[attach]]


def _disks(disks: Sequence[Path]) -> Iterator[str]:
    for number, disk in enumerate(disks):
        yield from ("-drive", f"file={disk},format=raw,if=none,id=disk{number}")
        # OVMF connects what has a place in the boot order, and nothing else.
        place = f"serial=disk{number},bootindex={number + 1}"
        yield from ("-device", f"virtio-blk-pci,drive=disk{number},{place}")


def _cards(macs: Sequence[str]) -> Iterator[str]:
    for number, mac in enumerate(macs):
        yield from ("-netdev", f"hubport,id=net{number},hubid={number}")
        yield from ("-device", f"virtio-net-pci,netdev=net{number},mac={mac}")


def _firmware(firmware: Firmware, folder: Path) -> list[str]:
    if firmware == "bios":
        return ["-machine", "pc"]
    variables = folder / "variables.fd"
    secure = firmware == "secure"
    shutil.copyfile(_OVMF / f"OVMF_VARS_4M{'.ms' * secure}.fd", variables)
    code = _OVMF / f"OVMF_CODE_4M{'.secboot' * secure}.fd"
    return [
        # Only the firmware's own code, in system management mode, may write to its variables.
        *("-machine", "q35,smm=on" if secure else "q35"),
        *(("-global", "driver=cfi.pflash01,property=secure,value=on") if secure else ()),
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
    ]
