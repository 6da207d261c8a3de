"""Read-only probes: what this machine has. Parsing is pure; reading happens through Run and sysfs.

Every path is taken below `root`, so that tests can hand in a recorded machine.
"""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from firstboot.commands import Run


@dataclass(frozen=True)
class Port:
    """A network interface: `mac` is the permanent address, upper case."""

    name: str
    mac: str


@dataclass(frozen=True)
class Bond:
    """A bond as the kernel runs it; `ports` are interface names, `addresses` are address/prefix."""

    mode: str
    miimon_ms: int
    mtu: int
    ports: frozenset[str]
    addresses: frozenset[str]


def parse_ports(ip_json: str) -> list[Port]:
    """`ip -j link` -> ethernet ports. iproute2 shows `permaddr` only where it differs."""
    return [
        Port(link["ifname"], link.get("permaddr", link["address"]).upper())
        for link in json.loads(ip_json)
        # A bond's port has linkinfo as well, with info_slave_kind; virtual links have info_kind.
        if link.get("link_type") == "ether" and "info_kind" not in link.get("linkinfo", {})
    ]


def ports(run: Run) -> list[Port]:
    """The machine's own ports: no bridges, bonds or VLANs."""
    return parse_ports(run(["ip", "-j", "-d", "link", "show"]).stdout)


def bond(run: Run, root: Path, name: str) -> Optional[Bond]:
    """The bond of that name, or None when the kernel has none."""
    folder = root / "sys/class/net" / name
    if not (folder / "bonding").is_dir():
        return None
    shown = json.loads(run(["ip", "-j", "address", "show", "dev", name]).stdout)
    return Bond(
        mode=_word(folder / "bonding/mode").split()[0],
        miimon_ms=int(_word(folder / "bonding/miimon")),
        mtu=int(_word(folder / "mtu")),
        ports=bonded(root, name),
        addresses=frozenset(
            f"{info['local']}/{info['prefixlen']}"
            for link in shown
            for info in link.get("addr_info", [])
        ),
    )


def bonded(root: Path, name: str) -> frozenset[str]:
    """Interface names of a bond's ports; none where the kernel has no such bond."""
    slaves = root / "sys/class/net" / name / "bonding/slaves"
    return frozenset(_word(slaves).split()) if slaves.exists() else frozenset()


def has_link(root: Path, port: str) -> bool:
    """Whether the bond that a port is in may use it (Documentation/networking/bonding.rst)."""
    status = root / "sys/class/net" / port / "bonding_slave/mii_status"
    return status.exists() and _word(status) == "up"


def carrier(root: Path, port: str) -> bool:
    """Whether a port is up and sees a link (Documentation/ABI/testing/sysfs-class-net)."""
    try:
        return _word(root / "sys/class/net" / port / "carrier") == "1"
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is down
            return False
        raise


def partition_start(root: Path, partuuid: str) -> Optional[int]:
    """First sector (512 bytes) of the partition with that PARTUUID; None when there is none."""
    link = root / "dev/disk/by-partuuid" / partuuid
    if not link.is_symlink():
        return None
    return int(_word(root / "sys/class/block" / link.readlink().name / "start"))


def serial(root: Path) -> str:
    """The DMI serial number, "" where the firmware tells none."""
    try:
        return _word(root / "sys/class/dmi/id/product_serial")
    except FileNotFoundError:
        return ""


def boot_id(root: Path) -> str:
    """The kernel's id of this boot (random(4))."""
    return _word(root / "proc/sys/kernel/random/boot_id")


def host_name(root: Path) -> str:
    """What `uname -n` says."""
    return _word(root / "proc/sys/kernel/hostname")


def module_version(run: Run, root: Path, module: str) -> Optional[str]:
    """Version of a kernel module, loaded or to be had, "" where it has none; None: there is none.

    `root` as elsewhere; modinfo looks below the running kernel's own folder.
    """
    loaded = root / "sys/module" / module
    if loaded.is_dir():
        return _word(loaded / "version") if (loaded / "version").exists() else ""
    found = run(["modinfo", "-F", "version", module], ok=(0, 1))
    return None if found.returncode else found.stdout.strip()


def virtualizes(root: Path) -> bool:
    """Whether the processor can run guests."""
    if (root / "dev/kvm").exists():
        return True
    flags = {word for line in _lines(root / "proc/cpuinfo", "flags") for word in line.split()}
    return bool(flags & {"vmx", "svm"})


def selinux(root: Path) -> str:
    """Either "enforcing", "permissive" or "disabled", as the kernel runs it."""
    try:
        return "enforcing" if _word(root / "sys/fs/selinux/enforce") == "1" else "permissive"
    except FileNotFoundError:
        return "disabled"


def _lines(path: Path, key: str) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.split(":")[0].strip() == key]


def free_mib(folder: Path) -> int:
    """MiB that root may still write there."""
    left = os.statvfs(folder)
    return left.f_bfree * left.f_frsize >> 20


def _word(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
