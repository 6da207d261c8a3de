"""The disk of an installed node as the loaders and %pre see it; what starts from it is a stand-in.

Whichever is started says so on the serial line: a boot sector under BIOS, under UEFI the
demonstration's GRUB with a configuration of one line, and the demonstration's kernel by kexec.
"""

import subprocess
from pathlib import Path

from builder.media.source import open_source
from builder.plan.bootmenu import installed_mark
from builder.plan.disk import LINUX_RESERVED, Partition, data_start, os_partitions
from builder.plan.pair import pair
from builder.profile.model import NodeSection, Profile
from firstboot.node import partition_uuid

SAYS = "the local disk was started"
# The command line of the kernel on ks-boot, but for GRUB's variables.
COMMAND_LINE = "root=UUID=5e2d8f60-0000-4000-8000-000000000001 ro console=ttyS0,115200"
# Says it through INT 14h, which SeaBIOS sends to the serial line, and halts.
_BOOT_SECTOR = bytes.fromhex(
    "fc"  # cld
    "31c0 8ed8"  # xor ax, ax; mov ds, ax
    "31d2"  # xor dx, dx: the first port
    "be187c"  # mov si, 0x7c18: the text
    "ac 84c0 7406"  # next: lodsb; test al, al; jz halt
    "b401 cd14"  # mov ah, 1; int 0x14
    "ebf5"  # jmp next
    "f4 ebfd"  # halt: hlt; jmp halt
) + (f"{SAYS}\r\n\0".encode())
_GRUB_CONFIG = f"echo '{SAYS}'\nsleep 300\n"
# Where EL9 puts its shim, and where firmware looks on a disk it knows nothing of.
SHIM, FALLBACK = "EFI/almalinux/shimx64.efi", "EFI/BOOT/BOOTX64.EFI"


def installed_disk(
    path: Path, profile: Profile, node: NodeSection, source: Path, *, loader: str
) -> Path:
    """Write a node's disk, sparse.

    Args:
        path: the raw image.
        profile: its PARTUUIDs, sizes and the mark on the EFI system partition are used.
        node: whose disk it is.
        source: a medium whose GRUB stands for the installed one's.
        loader: where that lies on the EFI system partition, and nowhere else.
    """
    parts = os_partitions(profile.storage.os_gib)
    with path.open("xb") as file:
        file.truncate((node.disk.size_gib or (64,))[0] << 30)
    table = _table(profile, node, parts)
    _run(["sfdisk", "-q", path], table)
    (esp,), (boot,) = ([part for part in parts if part.name == name] for name in ("esp", "boot"))
    _fill_boot(path, boot, source)
    # Clusters of 4 KiB, as in EL9; by the whole disk mkfs would choose larger ones.
    fat = ["mkfs.vfat", "-F", "32", "-s", "8", "--offset", str(esp.start)]
    _run([*fat, path, str(esp.size // 2)])
    place = f"{path}@@{esp.start * 512}"
    with open_source(source) as opened:
        grub = opened.read("EFI/BOOT/grubx64.efi")
    # GRUB's own prefix, whatever its name.
    files = {loader: grub, "EFI/BOOT/grub.cfg": _GRUB_CONFIG.encode()}
    files[installed_mark(profile).lstrip("/")] = f"{node.name}\n".encode()
    for folder in sorted({up for name in files for up in Path(name).parents} - {Path()}):
        _run(["mmd", "-i", place, f"::/{folder}"])
    for name, content in files.items():
        copy = path.with_name("copied")
        copy.write_bytes(content)
        _run(["mcopy", "-i", place, copy, f"::/{name}"])
    with path.open("r+b") as file:
        file.write(_BOOT_SECTOR)
    return path


def _fill_boot(path: Path, boot: Partition, source: Path) -> None:
    """A file system as EL9 leaves /boot, with two kernels, the first the default."""
    tree = path.with_name("boot-tree")
    (tree / "loader/entries").mkdir(parents=True)
    (tree / "grub2").mkdir()
    with open_source(source) as opened:
        for name in ("vmlinuz", "initrd.img"):
            (tree / name).write_bytes(opened.read(f"images/pxeboot/{name}"))
    (tree / "grub2/grubenv").write_text("# GRUB Environment Block\nsaved_entry=f00d-5.14.0-9\n")
    for version, options in (("5.14.0-9", COMMAND_LINE), ("5.14.0-10", "root=another")):
        (tree / f"loader/entries/f00d-{version}.conf").write_text(
            f"title EL9 ({version})\nlinux /vmlinuz\ninitrd /initrd.img $tuned_initrd\n"
            f"options {options} $tuned_params\ngrub_class el\n"
        )
    offset = f"offset={boot.start * 512}"
    # Not the installer's xfs, which nothing makes inside a file without mounting it.
    _run(["mke2fs", "-q", "-t", "ext4", "-E", offset, "-d", tree, path, f"{boot.size // 2}k"])


def _table(profile: Profile, node: NodeSection, parts: tuple[Partition, ...]) -> str:
    """The table as %pre, Anaconda and %post leave it: Anaconda names the ESP anew."""
    plan = pair(profile)

    def entry(name: str, shown: str, guid: str, where: str) -> str:
        uuid = partition_uuid(plan.id, node.name, name)
        return f'{where}, type={guid}, uuid={uuid}, name="{shown}"'

    lines = ["label: gpt"]
    for part in parts:
        shown = "EFI System Partition" if part.name == "esp" else f"ks-{part.name}"
        where = f"start={part.start}, size={part.size}"
        lines.append(entry(part.name, shown, part.type_guid, where))
    start = data_start(plan.storage.os_gib, plan.storage.grain_sectors)
    lines.append(entry("data", "ks-data", LINUX_RESERVED, f"start={start}"))
    return "\n".join(lines) + "\n"


def _run(argv: list[str | Path], text: str | None = None) -> None:
    subprocess.run(argv, input=text, text=True, check=True, capture_output=True)
