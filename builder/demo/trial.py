"""Boot a demonstration medium in QEMU as one of the pair's servers, on a blank virtual disk."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from builder.demo.programs import lines
from builder.profile.model import NodeSection

SAYS, ENDS = "ksbuild-demo: ", "here is a shell"
TIMEOUT_S = 420.0
_DEFAULT_GIB = 64


def try_medium(medium: Path, node: NodeSection, *, serial: str | None) -> Iterator[str]:
    """Yield what the machine says, until its stand-in for the installer is done.

    The kickstart's real %pre runs against the disk. `serial` takes the place of the node's own
    serial number: with a stranger's, %pre refuses. Needs no KVM and no root.

    Raises:
        DemoError: QEMU is missing, or the machine does not come to an end.
    """
    with tempfile.TemporaryDirectory(prefix="ksbuild-try-") as folder:
        disk = Path(folder) / "disk"
        with disk.open("wb") as file:
            file.truncate(_gib(node) << 30)  # sparse: it takes no room
        for line in lines(argv(medium, node, disk, serial), timeout_s=TIMEOUT_S):
            if SAYS in line:
                yield line.partition(SAYS)[2]
            if ENDS in line:
                return


def argv(medium: Path, node: NodeSection, disk: Path, serial: str | None) -> list[str]:
    """The QEMU command line of this server."""
    # TCG works everywhere; it emulates AMD's virtualisation, which %pre looks for.
    words = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64,+svm", "-m", "1024"]
    words += ["-nodefaults", "-display", "none", "-vga", "std", "-serial", "stdio", "-no-reboot"]
    words += ["-drive", f"file={medium},format=raw,if=none,id=medium,readonly=on,media=cdrom"]
    words += ["-device", "ide-cd,drive=medium,bootindex=0"]
    words += ["-smbios", f"type=1,serial={serial or node.serial or 'none'}"]
    words += ["-fw_cfg", "name=opt/ksbuild/try,string=1"]
    identity = f",serial={node.disk.serial}" if node.disk.serial else ""
    words += ["-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe"]
    words += ["-device", "virtio-scsi-pci", "-device", f"scsi-hd,drive=disk{identity}"]
    for number, mac in enumerate((*node.uplink.ports, *node.crossover.ports)):
        words += ["-netdev", f"socket,id=net{number},udp=127.0.0.1:1,localaddr=127.0.0.1:0"]
        words += ["-device", f"virtio-net-pci,netdev=net{number},mac={mac}"]
    return words


def _gib(node: NodeSection) -> int:
    return node.disk.size_gib[0] if node.disk.size_gib else _DEFAULT_GIB
