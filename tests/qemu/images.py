"""What QEMU machines boot: Debian with its stock kernel, as a node and as the stand-in installer.

One mmdebstrap run serves both. It is kept beside User-mode Linux's and made anew by the same rules.
"""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.uml import archive, images, kernel

PACKAGES = (
    *(*images.CLUSTER_PACKAGES, *images.INSTALLER_PACKAGES),
    *("linux-image-amd64", "initramfs-tools", "zstd", "grub-pc-bin", "grub2-common"),
    # firewalld knows protocols by the names of netbase, and does not start without.
    *("firewalld", "netbase", "ksmtuned"),
)
# What a node's initrd needs to find its root, and not all that Debian knows.
_INITRD = """\
printf 'MODULES=list\\nCOMPRESS=zstd\\nRESUME=none\\n' >"$1/etc/initramfs-tools/conf.d/lab"
printf '%s\\n' virtio_pci virtio_blk xfs ext4 crc32c_generic >>"$1/etc/initramfs-tools/modules"
chroot "$1" update-initramfs -u -k all
"""
_HOOKS = (*images.CLUSTER_HOOKS, f"--customize-hook={_INITRD}")
# Beyond what machines in User-mode Linux may load: this machine's disks, cards, button and shares.
WANTED = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "button", "evdev"),
    *("9p", "9pnet_virtio", "ata_piix", "ata_generic", "sr_mod", "sd_mod", "sg"),
    *("xfs", "ext4", "crc32c_generic", "crc32c-intel", "nft_compat", "binfmt_misc"),
)
_WHOLE = ("kernel/net/netfilter/", "kernel/net/ipv4/netfilter/", "kernel/net/ipv6/netfilter/")
_LEFT_OUT = (
    *("usr/lib/modules/", "boot/System.map", "boot/config", "usr/lib/grub/i386-pc/efiemu"),
    *("usr/share/locale", "usr/lib/firmware", "usr/share/grub", "usr/share/icons"),
    # Each file costs a millisecond or ten under TCG.
    *("var/lib/dpkg/info", "usr/share/zoneinfo/right", "usr/share/zoneinfo/posix"),
    *("usr/share/perl5", "usr/share/lintian", "usr/share/bash-completion", "usr/share/snmp"),
    *("usr/lib/python3.11/test", "usr/lib/python3.11/idlelib", "usr/lib/python3.11/lib2to3"),
)
# EL9's packages enable what the kickstart names, and neither of these.
_NOT_ENABLED = tuple(
    f"etc/systemd/system/multi-user.target.wants/{name}" for name in ("firewalld", "ksm", "e2scrub")
)


@dataclass(frozen=True)
class StockImages:
    """Paths; all are complete when they exist."""

    rootfs: Path  # tar, unpacked in place of %packages
    installer: Path  # initrd of the stand-in installer, compressed
    kernel: Path  # Debian's, which both run


def prepare() -> StockImages:
    """Return them, made if the cache lacks them (some minutes). Raises as images.prepare()."""
    kernel.require_programs()
    cache = kernel.cache_folder()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = images.base(cache, PACKAGES, _HOOKS)
        modules = images.Modules((WANTED, _WHOLE, kernel.WANTED), lambda to: _modules(base, to))
        node_without = (
            *(*images.NODE_LEAVES_OUT, *images.CLUSTER_LEAVES_OUT, *images.STACKS),
            *(*_LEFT_OUT, *_NOT_ENABLED),
        )
        own = list(images.node_additions())
        rootfs = images.composed(cache, "stockroot.tar", base, node_without, own, modules)
        installer_without = (*images.INSTALLER_LEAVES_OUT, *_LEFT_OUT, *_ONLY_OF_NODES)
        tasks = list(images.installer_additions())
        plain = images.composed(
            cache, "stockinstaller.cpio", base, installer_without, tasks, modules
        )
        return StockImages(rootfs, _compressed(plain), _kernel(cache, base))


# The installer takes what it runs from the same Debian; a cluster it does not run.
_ONLY_OF_NODES = (
    *("boot/", "usr/lib/pacemaker", "usr/share/pacemaker", "usr/share/fence", "usr/lib/grub"),
    *("usr/lib/python3/dist-packages", "usr/lib/ocf", "usr/share/resource-agents"),
    *("usr/lib/x86_64-linux-gnu/perl", "usr/share/perl", "usr/share/zoneinfo", "usr/share/mime"),
)


def _modules(base: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ksbuild-kernel-") as name:
        unpack = ["tar", "-C", name, "-xf", str(base), "--wildcards", "./usr/lib/modules/*"]
        subprocess.run(unpack, check=True)
        (source,) = (Path(name) / "usr/lib/modules").iterdir()
        index = (source / "modules.dep").read_text()
        builtin = {Path(p).stem for p in (source / "modules.builtin").read_text().split()}
        wanted = {name.replace("-", "_") for name in (*kernel.WANTED, *WANTED)}
        whole = {Path(path).stem.replace("-", "_") for path in _below(index)}
        left = sorted((wanted | whole) - {name.replace("-", "_") for name in builtin})
        kernel.choose_modules(source, kernel.module_closure(index, left), target)


def _below(index: str) -> Iterator[str]:
    paths = (line.partition(":")[0] for line in index.splitlines())
    return (path for path in paths if path.startswith(_WHOLE))


def _compressed(plain: Path) -> Path:
    made = plain.with_suffix(".cpio.zst")
    if not made.exists() or made.stat().st_mtime < plain.stat().st_mtime:
        part = made.with_suffix(".part")
        subprocess.run(["zstd", "-q", "-f", "-6", "-T0", plain, "-o", part], check=True)
        part.rename(made)
    return made


def _kernel(cache: Path, base: Path) -> Path:
    made = cache / f"stockkernel-{base.stem.rpartition('-')[2]}"
    if not made.exists():
        names = [e for e in archive.members(base) if e.info.name.startswith("boot/vmlinuz-")]
        part = made.with_suffix(".part")
        part.write_bytes(names[0].data)
        part.rename(made)
    return made
