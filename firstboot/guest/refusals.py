"""Why a guest could not be leased, moved live or started on the other node, in words. Pure.

What a domain's XML may hold: libvirt's formatdomain.html. What keeps QEMU from moving it live:
libvirt 9.0.0, src/qemu/qemu_migration.c, qemuMigrationSrcIsAllowed() and IsSafe().
"""

import posixpath
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Optional

from firstboot.node import BRIDGE, Pair

QEMU_NAMESPACE = "{http://libvirt.org/schemas/domain/qemu/1.0}"
FORMATS = ("raw", "qcow2")
ANYWHERE = ("127.0.0.1", "0.0.0.0", "::1", "::", "localhost")  # noqa: S104 - nothing is bound here
# Where an element is in a domain -> why no guest of the pair has it.
NEVER = {
    "devices/hostdev": "a device of this server can't move with it",
    "devices/filesystem": "a folder of this server can't move with it: use a disk",
    "devices/shmem": "memory shared with this server's programs can't move with it",
    "devices/memory[@model='nvdimm']": "an NVDIMM is a file that no lease covers",
    "devices/memory[@model='virtio-pmem']": "a pmem device is a file that no lease covers",
    "devices/tpm": "a TPM's state stays on this node: take it out (virt-install: --tpm none)",
    "devices/smartcard[@mode='host']": "a card reader of this server can't move with it",
    "devices/input[@type='passthrough']": "an input device of this server can't move with it",
    "devices/input[@type='evdev']": "an input device of this server can't move with it",
    "devices/graphics/gl[@enable='yes']": "QEMU does not move a guest that draws with OpenGL",
    "devices/graphics[@type='egl-headless']": "QEMU does not move a guest that draws with OpenGL",
    "launchSecurity": "QEMU does not move a guest with encrypted memory",
    "cpu[@migratable='off']": "it says itself that its processor can't be moved",
    f"{QEMU_NAMESPACE}commandline": "arguments to QEMU itself can't be looked into",
}
CHARACTERS = ("serial", "parallel", "console", "channel")


def faults(domain: ET.Element, name: str, pair: Pair) -> list[str]:
    """All of them; paths are judged as they are written, links are not followed."""
    place = pair.gfs2.mount
    found = [*_identity(domain, name), *_never(domain), *_disks(domain, place)]
    return [*found, *_boot_files(domain, place), *_ports(domain, pair), *_ends(domain)]


def is_below(path: str, place: str) -> bool:
    """Whether an absolute path lies below a folder, whatever dots it has."""
    return posixpath.normpath(path).startswith(f"{place}/") and path.startswith("/")


def is_leased(disk: ET.Element) -> bool:
    """Whether virtlockd takes a lease on it that keeps every other start out."""
    return disk.get("device") != "cdrom" and disk.find("readonly") is None


def bridges(pair: Pair) -> tuple[str, ...]:
    """Those that both nodes have."""
    return (BRIDGE, *(bridge.name for bridge in pair.bridges))


def _identity(domain: ET.Element, name: str) -> Iterator[str]:
    if domain.get("type") not in ("kvm", "qemu"):
        yield f"it is for {domain.get('type')}, not for kvm"
    if domain.get("id") is not None:
        yield "it tells how the guest runs: take virsh dumpxml --inactive --security-info"
    if (found := (domain.findtext("name") or "").strip()) != name:
        yield f"it is called {found!r}, not {name}"
    # ocf:heartbeat:VirtualDomain reads the name with egrep, and would read all of them.
    if len(list(domain.iter("name"))) > 1:
        yield "it has a second <name>, of which pacemaker's agent would make one with the first"


def _never(domain: ET.Element) -> Iterator[str]:
    for path, why in NEVER.items():
        if domain.find(path) is not None:
            tag = re.sub(r"\{.*\}", "", path).rpartition("/")[2]
            yield f"{tag}: {why}"


def _disks(domain: ET.Element, place: str) -> Iterator[str]:
    disks = domain.findall("devices/disk")
    for disk in disks:
        target = disk.find("target")
        label = f"disk {'?' if target is None else target.get('dev')}"
        for fault in _disk(disk, place):
            yield f"{label}: {fault}"
    if not any(is_leased(disk) for disk in disks):
        yield "it has no disk that it may write to: without a lease it could start on both nodes"


def _disk(disk: ET.Element, place: str) -> Iterator[str]:
    source, driver = disk.find("source"), disk.find("driver")
    if source is None:
        if is_leased(disk):
            yield "it has no source"
    elif (kind := disk.get("type")) != "file":
        yield f"it is a {kind}, of which no lease is taken; use a file below {place}"
    for layer in disk.iter("source"):
        path = layer.get("file")
        if path is not None and not is_below(path, place):
            yield f"{path} is not below {place}, so the other node does not have it"
    if disk.find("shareable") is not None:
        yield "it is shareable: its lease would not keep a second start out"
    if disk.find("transient") is not None:
        yield "QEMU does not move a guest with a transient disk"
    if driver is not None and driver.get("type", "raw") not in FORMATS and is_leased(disk):
        yield f"its format is {driver.get('type')}, not {' or '.join(FORMATS)}"


def _boot_files(domain: ET.Element, place: str) -> Iterator[str]:
    for tag in ("kernel", "initrd", "dtb", "nvram"):
        path = (domain.findtext(f"os/{tag}") or "").strip()
        if path and not is_below(path, place):
            yield f"{tag}: {path} is not below {place}: copy it there"


def _ports(domain: ET.Element, pair: Pair) -> Iterator[str]:
    known = bridges(pair)
    for port in domain.iterfind("devices/interface"):
        source: Optional[ET.Element] = port.find("source")
        kind, bridge = port.get("type"), None if source is None else source.get("bridge")
        if kind != "bridge":
            yield f"interface: it is of type {kind}: use a bridge of both nodes, as {known[0]}"
        elif bridge not in known:
            yield f"interface: {bridge} is none of the pair's bridges ({', '.join(known)})"


def _ends(domain: ET.Element) -> Iterator[str]:
    """Where a console or a screen ends on this server."""
    for tag in CHARACTERS:
        for end in domain.iterfind(f"devices/{tag}"):
            if end.get("type") in ("dev", "pipe"):
                yield f"{tag}: a {end.get('type')} of this server can't move with it"
    for screen in domain.iterfind("devices/graphics"):
        listening = [screen, *screen.iterfind("listen")]
        for address in {e.get("listen") or e.get("address") for e in listening} - {None}:
            if address not in ANYWHERE:
                yield f"graphics: {address} is this node's own: listen on 127.0.0.1"
