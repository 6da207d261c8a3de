"""A guest's libvirt XML: checked, and completed with what the pair needs. Pure."""

import hashlib
import posixpath
import re
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Callable

from firstboot.engine import Refused
from firstboot.guest.refusals import QEMU_NAMESPACE, faults, is_leased
from firstboot.node import Pair
from firstboot.render.libvirt import POOL_NAME

# As pacemaker's id, libvirt's name and a file's name; not one of the pair's own resources.
NAME = re.compile(r"(?!ks-|cli-)[A-Za-z][A-Za-z0-9_.-]{0,59}")
DISK = "the disk "
FOLDER = "guests"  # below the mount
for _prefix, _namespace in (
    ("qemu", QEMU_NAMESPACE[1:-1]),
    ("libosinfo", "http://libosinfo.org/xmlns/libvirt/domain/1.0"),
):
    ET.register_namespace(_prefix, _namespace)


@dataclass(frozen=True)
class Image:
    """A disk of a guest: its file, and the format that QEMU is told."""

    path: str
    format: str


@dataclass(frozen=True)
class Domain:
    """A guest as it is written down: its XML, what it writes to, what else it reads.

    `completed` tells what was not so in the XML that was given.
    """

    name: str
    text: str
    images: tuple[Image, ...]
    reads: tuple[Image, ...]
    completed: tuple[str, ...]


def place_of(pair: Pair, name: str) -> str:
    """Where a guest's XML lies, on both nodes."""
    return f"{pair.gfs2.mount}/{FOLDER}/{name}.xml"


def complete(text: str, name: str, pair: Pair, way_out: str) -> Domain:
    """A guest of the pair from libvirt's XML. Raises Refused with every fault at once."""
    if not NAME.fullmatch(name):
        raise Refused(
            f"{name!r} is no name for a guest: a letter, then letters, digits, '_', '.' or '-', "
            "60 in all, and neither ks- nor cli- in front",
            "ksnode guest add NAME --xml FILE",
        )
    domain = _parsed(text, way_out)
    told: list[str] = []
    _volumes(domain, pair)
    if found := faults(domain, name, pair):
        raise Refused("; ".join(found), way_out)
    for part in (_numbers, _disks, _firmware):
        part(domain, name, pair, told.append)
    ET.indent(domain)  # the name on a line of its own, where pacemaker's agent looks for it
    disks = [disk for disk in domain.iterfind("devices/disk") if disk.find("source") is not None]
    return Domain(
        name=name,
        text=ET.tostring(domain, encoding="unicode") + "\n",
        images=tuple(_image(disk) for disk in disks if is_leased(disk)),
        reads=tuple(_image(disk) for disk in disks if not is_leased(disk)),
        completed=tuple(told),
    )


def claims(text: str) -> set[str]:
    """What no two guests may have in common. Raises ValueError on what is not XML."""
    try:
        domain = ET.fromstring(text)  # noqa: S314 - root's own file
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from None
    disks = [disk for disk in domain.iterfind("devices/disk") if is_leased(disk)]
    paths = [s.get("file") or s.get("dev") or "" for d in disks for s in d.iterfind("source")]
    found = {f"{DISK}{posixpath.normpath(path)}" for path in paths if path}
    for mac in domain.iterfind("devices/interface/mac"):
        found.add(f"the MAC {mac.get('address', '').lower()}")
    number = (domain.findtext("uuid") or "").strip().lower()
    return found | ({f"the uuid {number}"} if number else set())


def name_in(text: str) -> str:
    """The name that libvirt has for the guest, as pacemaker's agent reads it; "" without one."""
    found = re.search(r"^\s*<name>(.*)</name>\s*$", text, re.MULTILINE)
    return found[1] if found else ""


def files_in(text: str) -> list[str]:
    """Every file and device that a guest's disks lie on."""
    return re.findall(r"""<source\b[^>]*?\b(?:file|dev)=["']([^"']+)["']""", text)


def _parsed(text: str, way_out: str) -> ET.Element:
    try:
        domain = ET.fromstring(text)  # noqa: S314 - what root gave, or virt-install
    except ET.ParseError as error:
        if text.count("</domain>") > 1:
            raise Refused(
                "these are two descriptions, one to install the guest and one to run it",
                "with virt-install: --import, or --install no_install=yes, and boot what is there",
            ) from None
        raise Refused(f"this is not XML: {error}", way_out) from None
    if domain.tag != "domain":
        raise Refused(f"this describes a {domain.tag}, not a domain", way_out)
    return domain


def _volumes(domain: ET.Element, pair: Pair) -> None:
    """Volumes of the pair's own pool are files; a lease is taken on files alone."""
    for disk in domain.iterfind("devices/disk[@type='volume']"):
        source = disk.find("source")
        if source is not None and source.get("pool") == POOL_NAME:
            path = f"{pair.gfs2.mount}/{source.get('volume')}"
            disk.set("type", "file")
            source.attrib.clear()
            source.set("file", path)


def _numbers(domain: ET.Element, name: str, pair: Pair, tell: Callable[[str], None]) -> None:
    """Without its own, libvirt would make another uuid and other MACs at every start."""
    if domain.find("uuid") is None:
        number = ET.Element("uuid")
        number.text = str(uuid.uuid5(uuid.UUID(pair.id), f"guest {name}"))
        domain.insert(list(domain).index(domain.find("name")) + 1, number)  # type: ignore[arg-type]
        tell(f"uuid {number.text}")
    for index, port in enumerate(domain.iterfind("devices/interface")):
        if port.find("mac") is None:
            digest = hashlib.sha256(f"{pair.id} {name} {index}".encode()).hexdigest()
            mac = f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"  # QEMU's own first half
            port.insert(0, ET.Element("mac", {"address": mac}))
            tell(f"MAC {mac}")


def _disks(domain: ET.Element, name: str, pair: Pair, tell: Callable[[str], None]) -> None:
    """With any other cache a guest that moves could leave writes behind."""
    del name, pair
    for disk in domain.iterfind("devices/disk"):
        if disk.find("source") is None:
            continue
        driver, target = _driver(disk), disk.find("target")
        label = "?" if target is None else target.get("dev")
        wanted = {"name": "qemu", "type": driver.get("type", "raw"), "cache": "none"}
        if driver.get("io") is None and is_leased(disk):
            wanted["io"] = "native"
        for key, value in wanted.items():
            if driver.get(key) != value:
                was = f", was {driver.get(key)}" if driver.get(key) else ""
                tell(f"{label}: {key}={value}{was}")
                driver.set(key, value)


def _firmware(domain: ET.Element, name: str, pair: Pair, tell: Callable[[str], None]) -> None:
    """UEFI's variables beside the images, for libvirt's own folder is on one node's disk."""
    system = domain.find("os")
    if system is None:
        return
    loader, nvram = system.find("loader"), system.find("nvram")
    flash = loader is not None and loader.get("type") == "pflash"
    stateless = loader is not None and loader.get("stateless") == "yes"
    if stateless or not (flash or system.get("firmware") == "efi"):
        return
    if nvram is None:
        nvram = ET.SubElement(system, "nvram")
    if not (nvram.text or "").strip():
        nvram.text = f"{pair.gfs2.mount}/{FOLDER}/{name}.nvram"
        tell(f"nvram {nvram.text}")


def _image(disk: ET.Element) -> Image:
    source = disk.find("source")
    path = "" if source is None else source.attrib["file"]
    return Image(posixpath.normpath(path), _driver(disk).attrib["type"])


def _driver(disk: ET.Element) -> ET.Element:
    driver = disk.find("driver")
    if driver is None:
        driver = ET.Element("driver")
        disk.insert(0, driver)
    return driver
