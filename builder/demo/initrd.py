"""Build the initrd that stands for the installer: chosen programs, their libraries, modules."""

import gzip
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from builder.demo.cpio import Entry, archive, folder, link
from builder.demo.elf import needed
from builder.demo.programs import DemoError, run

# Everything below these, as packages put it there.
_WHOLE = (
    r"usr/lib/udev/(?!hwdb\.d/|hwdb\.bin).*",
    r"usr/lib/modprobe\.d/.*",
    r"usr/lib/systemd/network/99-default\.link",
    r"usr/lib/terminfo/l/linux",
    r"usr/share/coreutils/.*",
)
# What a kickstart's %pre may call, besides coreutils; each is on EL9's installer image, too.
_PROGRAMS = """
    bash blkdiscard blkid blockdev dmesg dmidecode eject ethtool findmnt flock getopt grep ip
    kexec kmod logger losetup lsblk lscpu mawk more mount mountpoint partx sed setsid sfdisk
    switch_root systemd-udevd udevadm umount wipefs
"""
_LINKS = {
    "usr/bin/awk": "mawk",
    "usr/bin/sh": "bash",
    **{f"usr/sbin/{name}": "../bin/kmod" for name in ("depmod", "insmod", "lsmod", "modprobe")},
}
# Drivers of media, disks and cards that QEMU and common servers show, and what a CD or stick needs.
_MODULES = """
    ahci ata_generic ata_piix bonding cdrom crc32c_generic dm_mod e1000 e1000e efivarfs ehci_pci
    ext4 hid_generic i2c_piix4 igb isofs ixgbe loop megaraid_sas mpt3sas nls_ascii nls_cp437
    qemu_fw_cfg
    nls_iso8859_1 nls_utf8 nvme ohci_pci sd_mod sg smartpqi sr_mod tg3 uas uhci_hcd usb_storage
    usbhid vfat virtio_blk virtio_net virtio_pci virtio_scsi xfs xhci_pci
"""
_LIBRARY_FOLDERS = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/lib/systemd",
    "usr/lib",
)
_MERGED = re.compile(r"^(bin|sbin|lib|lib64)/")
_PASSWD = b"root:x:0:0:root:/root:/usr/bin/bash\n"
_GROUPS = "root tty disk lp kmem dialout cdrom tape audio video input sgx kvm render"


class Root:
    """An unpacked tree of packages, its files addressed as on a merged-/usr system."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Path] = {}
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place, name)
                merged = _MERGED.sub(r"usr/\1/", path.relative_to(folder).as_posix())
                self._files[merged] = path

    def matching(self, pattern: str) -> list[str]:
        """Return the files whose whole path the pattern fits."""
        return [name for name in self._files if re.fullmatch(pattern, name)]

    def entry(self, name: str) -> Entry:
        """Return a file or link for the archive; only x is kept of its mode, for umask's sake."""
        path = self._files[name]
        if path.is_symlink():
            return link(name, os.readlink(path))
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        return Entry(name, stat.S_IFREG | mode, path.read_bytes())

    def follow(self, name: str) -> list[str]:
        """Return `name` and, if it is a link, every file on the way to what it means."""
        chain = [name]
        while (path := self._files[chain[-1]]).is_symlink():
            target = os.readlink(path).lstrip("/")
            if not os.readlink(path).startswith("/"):
                target = os.path.normpath(os.path.join(os.path.dirname(chain[-1]), target))
            chain.append(_MERGED.sub(r"usr/\1/", target))
            if chain[-1] not in self._files:
                raise DemoError(f"{name} points to {chain[-1]}, which is in no package", _REPORT)
        return chain

    def library(self, name: str) -> str:
        """Find a DT_NEEDED or interpreter name.

        Raises:
            DemoError: no unpacked package has it.
        """
        if name.startswith("/"):
            candidates = [_MERGED.sub(r"usr/\1/", name.lstrip("/"))]
        else:
            candidates = [f"{folder}/{name}" for folder in _LIBRARY_FOLDERS]
        for candidate in candidates:
            if candidate in self._files:
                return candidate
        raise DemoError(f"no package has the library {name}", _REPORT)


_REPORT = "report this with the version of Debian you use"


def make_initrd(unpacked: Path, coreutils: Path, modules: Path, when: int) -> bytes:
    """Return the compressed initrd.

    Args:
        unpacked: tree of all packages but the kernel's.
        coreutils: tree of coreutils alone; all its programs go in.
        modules: folder made by `choose_modules`.
        when: date of everything, seconds since 1970.

    Raises:
        DemoError: a program or library is in none of the packages.
    """
    root = Root(unpacked)
    names = {name for pattern in _WHOLE for name in root.matching(pattern)}
    names |= set(Root(coreutils).matching(r"usr/s?bin/.*"))
    for program in _PROGRAMS.split():
        found = root.matching(rf"usr/(s?bin|lib/systemd)/{re.escape(program)}")
        if not found:
            raise DemoError(f"no package has the program {program}", _REPORT)
        names |= set(found)
    entries = {name: root.entry(name) for name in _closure(root, names)}
    for name in Root(modules).matching(r"usr/lib/modules/.*"):
        entries[name] = Root(modules).entry(name)
    for entry in _own_files():
        entries[entry.path] = entry
    for path in list(entries):
        for parent in Path(path).parents:
            entries.setdefault(parent.as_posix(), folder(parent.as_posix()))
    del entries["."]
    ordered = [entries[path] for path in sorted(entries)]
    return gzip.compress(archive(ordered, when), compresslevel=6, mtime=0)


def _closure(root: Root, names: Iterable[str]) -> set[str]:
    """Add what links point to and the libraries that programs need."""
    done: set[str] = set()
    waiting = sorted(names)
    while waiting:
        for name in root.follow(waiting.pop()):
            if name not in done:
                done.add(name)
                waiting += [root.library(needs) for needs in needed(root.entry(name).content)]
    return done


def _own_files() -> list[Entry]:
    groups = "".join(f"{name}:x:{number}:\n" for number, name in enumerate(_GROUPS.split()))
    init = Path(__file__).with_name("init.sh").read_bytes()
    return [
        Entry("init", stat.S_IFREG | 0o755, init),
        Entry("etc/passwd", stat.S_IFREG | 0o644, _PASSWD),
        Entry("etc/group", stat.S_IFREG | 0o644, groups.encode()),
        # The kernel opens this one for init before any devtmpfs is mounted.
        Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
        *(link(name, f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")),
        *(link(name, target) for name, target in _LINKS.items()),
        *(folder(name) for name in ("mnt", "proc", "root", "run", "sys")),
        folder("tmp", 0o1777),
    ]


def choose_modules(kernel: Path, version: str, target: Path) -> None:
    """Copy the modules above and what they depend on to `target`, and index them there.

    Args:
        kernel: unpacked kernel package; gets an index of all its modules.
        version: the kernel's release.
        target: new root folder, modules below usr/lib/modules.

    Raises:
        DemoError: depmod fails, or the kernel lacks a module.
    """
    run(["depmod", "-b", kernel, version])
    source = kernel / "lib/modules" / version
    dependencies = dict(
        line.split(":", 1) for line in (source / "modules.dep").read_text().splitlines()
    )
    by_name = {_module_name(path): path for path in dependencies}
    builtin = {_module_name(path) for path in (source / "modules.builtin").read_text().split()}
    wanted = []
    for name in _MODULES.split():
        if name in by_name:
            wanted += [by_name[name], *dependencies[by_name[name]].split()]
        elif name not in builtin:
            raise DemoError(f"kernel {version} has no module {name}", _REPORT)
    place = target / "usr/lib/modules" / version
    for path in sorted({*wanted, "modules.builtin", "modules.builtin.modinfo", "modules.order"}):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes((source / path).read_bytes())
    (target / "lib").symlink_to("usr/lib")
    run(["depmod", "-b", target, version])


def _module_name(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")
