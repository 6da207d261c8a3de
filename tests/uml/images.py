"""Make and cache what the machines boot: the target's root file system and the installer.

Both come from one mmdebstrap run with this machine's own apt sources. A cache entry's name carries
the hash of everything that went into it, so nothing is ever out of date and `rm` is always safe.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tests.guests import standins
from tests.guests.standins import DEFAULT_USER, QEMU_ID
from tests.uml import archive, kernel
from tests.uml.apt import SUITE, machine_options, machine_sources

CHECKOUT = Path(__file__).resolve().parents[2]
GUEST_CODE = "usr/lib/stand-in"  # PYTHONPATH of the installer

# A Debian that has what the agent finds on a minimal EL9.
PACKAGES = (
    *("dbus", "dosfstools", "e2fsprogs", "ethtool", "fdisk", "gawk", "iproute2", "iputils-ping"),
    *("kmod", "mount", "network-manager", "openssl", "python3", "systemd-sysv", "tzdata", "udev"),
    *("util-linux", "xfsprogs"),
)
# What makes a node of a pair, beyond that; on EL9 %packages brings it.
CLUSTER_PACKAGES = (
    *("chrony", "corosync", "dlm-controld", "drbd-utils", "fence-agents", "gfs2-utils", "ipmitool"),
    *("openssh-server", "pacemaker", "pacemaker-cli-utils", "psmisc", "resource-agents"),
    *("dnf", "libvirt-clients", "libvirt-daemon", "qemu-system-x86", "qemu-utils"),
)
BMC_PASSWORD = "of the lab's BMCs"  # noqa: S105 - it opens nothing else
# EL9's packages make one of them, and Debian's libvirt wants the other.
CLUSTER_HOOKS = tuple(
    f'--customize-hook=chroot "$1" useradd --system --user-group --uid {number} {name}'
    for name, number in (("qemu", QEMU_ID), DEFAULT_USER)
)
INSTALLER_PACKAGES = ("lvm2", "mdadm")  # as on EL9's installer image
_NOT_UNPACKED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

# Never of use on a node of the lab: hwdb names USB and PCI devices.
NODE_LEAVES_OUT = (
    *("dev/", "etc/apt/", "var/lib/apt/", "var/cache/", "etc/udev/hwdb.d", "usr/lib/udev/hwdb"),
    *("usr/share/bug/", "usr/lib/x86_64-linux-gnu/gconv", "etc/machine-id"),
    *("usr/lib/python3.11/pydoc_data", "usr/lib/python3.11/ensurepip"),
)
# Of use to other packages only: ICU serves xfs_scrub here, and perl the merger of /usr (perl-base
# stays).
_NEEDLESS_ALONE = (
    *("usr/lib/x86_64-linux-gnu/libicu", "usr/sbin/xfs_scrub", "usr/share/perl/"),
    *("usr/lib/x86_64-linux-gnu/perl/", "usr/lib/x86_64-linux-gnu/libperl", "usr/bin/perl5"),
)
# A node that is no pair's is made from the installer's Debian; it has nothing to assemble.
STACKS = (
    *("usr/sbin/lvm", "usr/sbin/mdadm", "usr/lib/udev/rules.d/56-lvm", "etc/mdadm", "etc/lvm"),
    *("usr/lib/udev/rules.d/69-lvm", "usr/lib/udev/rules.d/63-md", "usr/lib/udev/rules.d/64-md"),
    *("usr/lib/systemd/system-generators/lvm2", "etc/systemd/system/sysinit.target.wants/lvm2"),
    *("etc/systemd/system/sysinit.target.wants/blk-avail", "usr/lib/systemd/system-shutdown/md"),
    *("etc/systemd/system/mdmonitor", "etc/cron.d/mdadm", "etc/cron.daily/mdadm"),
)
# fence-agents brings clouds along, and everybody would have the same host keys.
CLUSTER_LEAVES_OUT = (
    *(f"usr/lib/python3/dist-packages/{name}" for name in ("boto", "sqlalchemy", "suds", "s3tra")),
    *("usr/share/perl/", "usr/lib/x86_64-linux-gnu/perl/", "usr/lib/x86_64-linux-gnu/libperl"),
    *("usr/bin/perl5", "usr/share/misc/enterprise", "etc/ssh/ssh_host_", "etc/chrony/chrony.conf"),
    # Firmware of other machines, and tools that nobody asks.
    *(f"usr/bin/qemu-{n}" for n in ("io", "nbd", "storage-daemon", "system-x86_64-microvm")),
    *("usr/libexec/qemu-system-i386", "usr/share/qemu/openbios", "usr/share/qemu/opensbi"),
    *("usr/share/qemu/skiboot", "usr/share/qemu/slof", "usr/share/qemu/u-boot", "usr/lib/ipxe"),
    *("usr/share/qemu/hppa", "usr/share/qemu/s390", "usr/share/qemu/keymaps", "usr/lib/file/magic"),
    # EL9's packages enable none of these.
    *(
        f"etc/systemd/system/multi-user.target.wants/{n}"
        for n in ("corosync", "dlm", "logd", "pace")
    ),
)
INSTALLER_LEAVES_OUT = (
    *(*NODE_LEAVES_OUT, *_NEEDLESS_ALONE),
    *("usr/lib/x86_64-linux-gnu/perl", "usr/share/perl", "usr/bin/perl", "var/lib/dpkg"),
    *("usr/sbin/NetworkManager", "usr/bin/nmcli"),
    *("usr/lib/NetworkManager", "usr/share/zoneinfo", "usr/share/polkit", "usr/share/bash-"),
    *("usr/lib/python3.11/idlelib", "usr/lib/python3.11/unittest", "usr/lib/python3.11/distutils"),
    *("usr/lib/python3.11/asyncio", "usr/lib/python3.11/lib2to3", "usr/share/dbus-1"),
    # EL9's rules leave arrays alone while ANACONDA is set; here a test says what is assembled.
    *("usr/lib/udev/rules.d/64-md-raid-assembly", "usr/lib/udev/rules.d/69-lvm"),
)

_UNUSED_SECONDS = 2 * 24 * 3600

# pykickstart fetches URLs with requests, which is half the start-up time of the installer; the
# stand-in reads files only.
_NO_REQUESTS = b'"""Stand-in: this installer fetches nothing."""\nfrom requests import exceptions\n'
_NO_EXCEPTIONS = b"class RequestException(Exception): ...\nclass SSLError(RequestException): ...\n"


@dataclass(frozen=True)
class Images:
    """Paths of the two images; both are complete when they exist."""

    rootfs: Path  # tar, unpacked in place of %packages
    installer: Path  # newc cpio for initrd=


def prepare(extra_packages: tuple[str, ...] = ()) -> Images:
    """Return the images, made if the cache lacks them (about a minute, then milliseconds).

    extra_packages go into the node's root file system only. Raises kernel.MissingPiece when this
    machine lacks a program, RuntimeError with the end of mmdebstrap's log if Debian can't be had.
    """
    kernel.require_programs()
    cache = kernel.cache_folder()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rootfs = _rootfs(cache, extra_packages)
        return Images(rootfs, _installer(cache, base(cache, INSTALLER_PACKAGES)))


def _found(made: Path) -> bool:
    """Whether the cache has it; its time of last use is noted, and old relatives are dropped."""
    if not made.exists():
        return False
    os.utime(made)
    for other in made.parent.glob(f"{made.name.partition('-')[0]}-*"):
        with suppress(FileNotFoundError):
            if other.stat().st_mtime < time.time() - _UNUSED_SECONDS:
                other.unlink()
    return True


def _named(cache: Path, stem: str, suffix: str, *inputs: object) -> Path:
    digest = hashlib.sha256()
    for part in inputs:
        digest.update(part if isinstance(part, bytes) else repr(part).encode())
        digest.update(b"\0")
    return cache / f"{stem}-{digest.hexdigest()[:16]}.{suffix}"


def base(cache: Path, extra: tuple[str, ...], hooks: tuple[str, ...] = ()) -> Path:
    """Debian as mmdebstrap makes it; hooks are options of mmdebstrap's that change the result."""
    packages = sorted({*PACKAGES, *extra})
    sources, options = machine_sources(), machine_options()
    made = _named(cache, "base", "tar", SUITE, packages, _NOT_UNPACKED, sources, options, *hooks)
    if _found(made):
        return made
    with tempfile.TemporaryDirectory(prefix="ksbuild-apt-") as folder:
        (Path(folder) / "machine.sources").write_text(sources)
        (Path(folder) / "apt.conf").write_text(options)
        part = made.with_suffix(".part.tar")
        argv = mmdebstrap_argv(packages, Path(folder), part, own_sources=bool(sources))
        argv[1:1] = hooks
        done = subprocess.run(argv, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        part.unlink(missing_ok=True)
        raise RuntimeError(f"mmdebstrap failed:\n{done.stderr[-2000:]}")
    part.rename(made)
    return made


def mmdebstrap_argv(
    packages: list[str], folder: Path, target: Path, *, own_sources: bool
) -> list[str]:
    """Return the command; folder holds apt.conf and machine.sources (used if own_sources)."""
    return [
        *("mmdebstrap", "--variant=essential", f"--include={','.join(packages)}"),
        *(f"--aptopt={folder}/apt.conf", '--aptopt=Apt::Install-Recommends "false"'),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _NOT_UNPACKED),
        *(SUITE, str(target)),
        *([f"{folder}/machine.sources"] if own_sources else []),
    ]


def _rootfs(cache: Path, extra: tuple[str, ...]) -> Path:
    made = base(cache, extra, CLUSTER_HOOKS) if extra else base(cache, INSTALLER_PACKAGES)
    alone = (*_NEEDLESS_ALONE, *STACKS)
    left_out = (*NODE_LEAVES_OUT, *(CLUSTER_LEAVES_OUT if extra else alone))
    return composed(cache, "rootfs.tar", made, left_out, list(node_additions()), _uml_modules())


@dataclass(frozen=True)
class Modules:
    """The modules of one kernel: what chooses them, and what puts them below a folder."""

    chosen_by: tuple[object, ...]
    copy: Callable[[Path], None]


def _uml_modules() -> Modules:
    return Modules((kernel.release(), kernel.WANTED), kernel.copy_modules)


def composed(
    cache: Path,
    name: str,
    base: Path,
    left_out: tuple[str, ...],
    own: list[archive.Entry],
    modules: Modules,
) -> Path:
    """Debian less left_out, a kernel's modules, our own additions; .tar or .cpio by name."""
    stem, _, suffix = name.partition(".")
    added = [(e.info.name, e.info.mode, e.info.linkname, e.data) for e in own]
    code = Path(archive.__file__).read_bytes()
    inputs = (base.name, left_out, *modules.chosen_by, added, code)
    made = _named(cache, stem, suffix, *inputs)
    if _found(made):
        return made
    write = archive.write_tar if suffix == "tar" else archive.write_cpio
    part = made.with_suffix(".part")
    with tempfile.TemporaryDirectory(prefix="ksbuild-modules-") as staging, part.open("wb") as out:
        modules.copy(Path(staging))
        below = archive.tree(Path(staging) / "lib/modules", "usr/lib/modules")
        write(chain(archive.members(base, left_out), below, own), out)
    part.rename(made)
    return made


def node_additions() -> Iterator[archive.Entry]:
    """What makes Debian boot as a node of the lab, and nothing else."""
    yield archive.file("etc/machine-id", b"")
    yield archive.file("root/bmc-password", f"{BMC_PASSWORD}\n".encode(), 0o600)
    yield archive.link("etc/chrony/chrony.conf", "../chrony.conf")  # where EL9's chronyd looks
    # EL9 makes host keys at the first boot.
    keygen = b"[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\n"
    yield archive.file("etc/systemd/system/ssh.service.d/keys.conf", keygen)
    # No terminal is attached: a login prompt would respawn for ever.
    for unit in ("getty.target", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"):
        yield archive.link(f"etc/systemd/system/{unit}", "/dev/null")
    # As on EL9: a cable plugged in gets no profile unless one was written.
    yield archive.file("etc/NetworkManager/conf.d/00-server.conf", b"[main]\nno-auto-default=*\n")
    yield archive.file("etc/NetworkManager/conf.d/managed.conf", b"[ifupdown]\nmanaged=true\n")
    grubby = b'#!/bin/sh\nprintf "/boot/vmlinuz-%s\\n" "$(uname -r)"\n'  # for --default-kernel
    yield archive.file("usr/sbin/grubby", grubby, 0o755)
    for name, text in standins.units('host_uuid_source = "machine-id"'):
        yield archive.file(f"etc/systemd/system/{name}", text.encode())


def _installer(cache: Path, base: Path) -> Path:
    own = list(installer_additions())
    return composed(cache, "installer.cpio", base, INSTALLER_LEAVES_OUT, own, _uml_modules())


def installer_additions() -> Iterator[archive.Entry]:
    """/init, the stand-in's own modules and pykickstart."""
    guest = CHECKOUT / "tests/uml/installer"
    yield archive.folder("dev")
    yield archive.character_device("dev/console", 5, 1)
    yield archive.file("init", (guest / "init").read_bytes(), 0o755)
    yield archive.folder(GUEST_CODE)
    for name in ("tests", "tests/uml", "tests/uml/installer"):
        yield archive.folder(f"{GUEST_CODE}/{name}")
        yield archive.file(f"{GUEST_CODE}/{name}/__init__.py", b"")
    for path in sorted(guest.glob("*.py")):
        if path.name != "__init__.py":
            name = f"{GUEST_CODE}/{path.relative_to(CHECKOUT)}"
            yield archive.file(name, path.read_bytes())
    found = importlib.util.find_spec("pykickstart")
    if found is None or found.origin is None:
        raise kernel.MissingPiece("pykickstart is not installed\nnext: ./setup.sh test")
    package = Path(found.origin).parent
    yield from archive.tree(
        package, f"{GUEST_CODE}/pykickstart", lambda p: p.is_dir() or p.suffix == ".py"
    )
    yield archive.folder(f"{GUEST_CODE}/requests")
    yield archive.file(f"{GUEST_CODE}/requests/__init__.py", _NO_REQUESTS)
    yield archive.file(f"{GUEST_CODE}/requests/exceptions.py", _NO_EXCEPTIONS)
