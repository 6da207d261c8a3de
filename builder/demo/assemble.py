"""Assemble the demonstration source: kernel and loaders from Debian in the layout of EL9."""

import fcntl
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from builder.demo.initrd import choose_modules, make_initrd
from builder.demo.packages import fetch, unpack
from builder.demo.programs import run
from builder.media.fat import fat_image
from builder.media.iso9660 import BIOS_IMAGE, EFI_IMAGE, write_iso
from builder.media.output import check_target, replacing
from builder.media.source import DEMONSTRATION

VOLUME_ID = "KSBUILD-DEMO-SRC"
# 2025-01-01: nothing reads it, so a fixed day serves reproducibility when none is asked for.
WHEN = 1_735_689_600
PACKAGES = (
    "bash",
    "bsdutils",
    "coreutils",
    "dmidecode",
    "eject",
    "ethtool",
    "fdisk",
    "grep",
    "grub-efi-amd64-bin",
    "iproute2",
    "isolinux",
    "kexec-tools",
    "kmod",
    "linux-image-amd64",
    "mawk",
    "mount",
    "ncurses-base",
    "sed",
    "syslinux-common",
    "udev",
    "util-linux",
)
# What Fedora's gcdx64.efi carries and a menu on a medium, or over the network, can use.
_GRUB_MODULES = """
    all_video boot cat chain configfile echo efi_gop efi_uga efinet fat font gfxterm gzio halt help
    http iso9660 linux linuxefi loadenv ls minicmd net normal part_gpt part_msdos probe reboot
    regexp search search_fs_file search_fs_uuid search_label serial sleep test tftp true
"""
_SYSLINUX = ("ldlinux.c32", "libcom32.c32", "libutil.c32", "vesamenu.c32")
_TREEINFO = f"""\
[general]
arch = x86_64
family = {DEMONSTRATION}
name = {DEMONSTRATION} 9
version = 9
platforms = x86_64

[images-x86_64]
efiboot.img = {EFI_IMAGE}
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[tree]
arch = x86_64
"""
_ISOLINUX_CONFIG = """\
serial 0 115200
prompt 1
timeout 600
default linux
say demonstration source: installs nothing, and carries no kickstart
label linux
  kernel /images/pxeboot/vmlinuz
  append initrd=/images/pxeboot/initrd.img console=tty0 console=ttyS0,115200
"""
_GRUB_CONFIG = f"""\
set timeout=60
search --no-floppy --set=root --label '{VOLUME_ID}'
menuentry 'demonstration source: installs nothing, and carries no kickstart' {{
  linuxefi /images/pxeboot/vmlinuz console=tty0 console=ttyS0,115200
  initrdefi /images/pxeboot/initrd.img
}}
"""


def assemble(
    output: Path,
    *,
    cache: Path,
    progress: Callable[[str], None] | None = None,
    force: bool = False,
    when: int = WHEN,
) -> None:
    """Write the demonstration source to `output`.

    Needs apt-get, dpkg-deb, depmod and grub-mkimage, about 600 MB in `cache` while it runs, and a
    network the first time; no root, and nothing is installed.

    Args:
        output: the ISO.
        cache: folder for packages; made if missing.
        progress: called with what is done next.
        force: replace `output` if it is there.
        when: date of everything in it, seconds since 1970 (SOURCE_DATE_EPOCH).

    Raises:
        DemoError: a program or package is missing or fails.
        OutputError: `output` cannot be written.
    """
    say = progress or (lambda _: None)
    check_target(output, force=force)
    cache.mkdir(parents=True, exist_ok=True)
    cache = cache.resolve()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        debs = fetch(PACKAGES, cache, say)
        with tempfile.TemporaryDirectory(dir=cache, prefix="work-") as scratch:
            files = _files(debs, Path(scratch), when, say)
    say(f"writing {output}")
    with replacing(output, force=force) as out:
        write_iso(out, files, volume_id=VOLUME_ID, when=when)


def _files(
    debs: dict[str, Path], work: Path, when: int, say: Callable[[str], None]
) -> dict[str, bytes]:
    kernel, root, modules, coreutils = (work / name for name in ("k", "root", "modules", "core"))
    say("unpacking")
    images = {name for name in debs if name.startswith("linux-image-")}
    unpack((debs[name] for name in sorted(images)), kernel)
    unpack((path for name, path in sorted(debs.items()) if name not in images), root)
    unpack([debs["coreutils"]], coreutils)
    version = next((kernel / "lib/modules").iterdir()).name
    say(f"building the initrd for Linux {version}")
    choose_modules(kernel, version, modules)
    grub = _grub(root, work)
    # One GRUB serves as BOOTX64.EFI, too: without Secure Boot there is nothing for a shim to do.
    syslinux = root / "usr/lib/syslinux/modules/bios"
    efi = {"BOOTX64.EFI": grub, "grubx64.efi": grub, "grub.cfg": _GRUB_CONFIG.encode()}
    efi = {f"EFI/BOOT/{name}": content for name, content in efi.items()}
    upper = {name.upper(): content for name, content in efi.items()}
    return {
        ".treeinfo": _TREEINFO.encode(),
        ".discinfo": f"{when}.0\n{DEMONSTRATION} 9\nx86_64\n".encode(),
        BIOS_IMAGE: (root / "usr/lib/ISOLINUX/isolinux.bin").read_bytes(),
        "isolinux/isolinux.cfg": _ISOLINUX_CONFIG.encode(),
        **{f"isolinux/{name}": (syslinux / name).read_bytes() for name in _SYSLINUX},
        "images/pxeboot/vmlinuz": (kernel / f"boot/vmlinuz-{version}").read_bytes(),
        "images/pxeboot/initrd.img": make_initrd(root, coreutils, modules, when),
        EFI_IMAGE: fat_image(upper, label="ANACONDA", serial=zlib.crc32(grub)),
        **efi,
    }


def _grub(root: Path, work: Path) -> bytes:
    """Make a GRUB that reads EFI/BOOT/grub.cfg of what it was started from, as EL's gcdx64.efi."""
    target = work / "grubx64.efi"
    modules = root / "usr/lib/grub/x86_64-efi"
    image = ["-O", "x86_64-efi", "-d", str(modules), "-p", "/EFI/BOOT", "-o", str(target)]
    run(["grub-mkimage", *image, *_GRUB_MODULES.split()])
    return target.read_bytes()
