"""A guest's XML: every refusal, what is completed, and libvirt's and pacemaker's own word on it."""

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from firstboot.engine import Refused
from firstboot.guest.domain import Domain, Image, claims, complete, files_in, name_in
from firstboot.guest.refusals import NEVER
from tests.firstboot.clusterlab import xml
from tests.firstboot.conftest import ONE_PYTHON, a_pair
from tests.firstboot.guestlab import DOMAIN

AGENT = Path("/usr/lib/ocf/resource.d/heartbeat/VirtualDomain")
UEFI = DOMAIN.replace("<os>", '<os firmware="efi">')
OTHER_DISK = '<disk type="{}"{}><source {}/><target dev="vdb" bus="virtio"/>{}</disk>'


def made(text: str = DOMAIN, name: str = "vm1") -> Domain:
    return complete(text, name, a_pair(), "the way out")


def with_disk(kind: str, source: str, more: str = "", attributes: str = "") -> str:
    return with_device(OTHER_DISK.format(kind, attributes, source, more))


def with_device(text: str) -> str:
    return DOMAIN.replace("</devices>", f"{text}</devices>")


def with_port(text: str) -> str:
    return DOMAIN.replace('<interface type="bridge"><source bridge="br0"/>', text)


MINE = 'file="/srv/vmdata/b.raw"'
REFUSALS = {
    # what it is
    "nothing": ("", "this is not XML"),
    "no XML": ("vm1", "this is not XML"),
    "two phases": (DOMAIN + DOMAIN, "two descriptions, one to install the guest and one to run it"),
    "a network": ("<network><name>vm1</name></network>", "describes a network, not a domain"),
    "Xen": (DOMAIN.replace('"kvm"', '"xen"'), "it is for xen, not for kvm"),
    "running": (DOMAIN.replace("<domain", "<domain id='3'"), "it tells how the guest runs"),
    "another name": (DOMAIN.replace(">vm1<", ">web<"), "it is called 'web', not vm1"),
    "no name": (DOMAIN.replace("<name>vm1</name>", ""), "it is called '', not vm1"),
    "two names": (
        DOMAIN.replace("<vcpu>", "<metadata><name>x</name></metadata><vcpu>"),
        "it has a second <name>",
    ),
    # disks
    "a local disk": (
        DOMAIN.replace("/srv/vmdata/vm1.raw", "/var/lib/libvirt/images/vm1.raw"),
        "disk vda: /var/lib/libvirt/images/vm1.raw is not below /srv/vmdata",
    ),
    "dots": (
        DOMAIN.replace("/srv/vmdata/vm1.raw", "/srv/vmdata/../x.raw"),
        "/srv/vmdata/../x.raw is not below /srv/vmdata",
    ),
    "a neighbour": (DOMAIN.replace("/srv/vmdata/", "/srv/vmdata2/"), "is not below /srv/vmdata"),
    "a block device": (with_disk("block", 'dev="/dev/sdb"'), "disk vdb: it is a block, of which"),
    "over the network": (
        with_disk("network", 'protocol="nbd" name="x"'),
        "disk vdb: it is a network, of which no lease is taken",
    ),
    "another pool's volume": (
        with_disk("volume", 'pool="default" volume="x"'),
        "disk vdb: it is a volume, of which no lease is taken",
    ),
    "no source": (
        DOMAIN.replace('<source file="/srv/vmdata/vm1.raw"/>', ""),
        "disk vda: it has no source",
    ),
    "shareable": (with_disk("file", MINE, "<shareable/>"), "disk vdb: it is shareable"),
    "transient": (with_disk("file", MINE, "<transient/>"), "with a transient disk"),
    "vmdk": (with_disk("file", MINE, '<driver name="qemu" type="vmdk"/>'), "its format is vmdk"),
    "a local ISO": (
        with_disk("file", 'file="/root/el9.iso"', "<readonly/>", ' device="cdrom"'),
        "disk vdb: /root/el9.iso is not below /srv/vmdata",
    ),
    "a local base": (
        with_disk("file", MINE, '<backingStore type="file"><source file="/b"/></backingStore>'),
        "disk vdb: /b is not below /srv/vmdata",
    ),
    "nothing to lease": (
        DOMAIN.replace('<target dev="vda"', '<readonly/><target dev="vda"'),
        "it has no disk that it may write to",
    ),
    # files that it starts from
    "a local kernel": (
        DOMAIN.replace("</os>", "<kernel>/boot/vmlinuz</kernel></os>"),
        "kernel: /boot/vmlinuz is not below /srv/vmdata: copy it there",
    ),
    "local variables": (
        UEFI.replace("</os>", "<nvram>/var/lib/libvirt/qemu/nvram/vm1.fd</nvram></os>"),
        "nvram: /var/lib/libvirt/qemu/nvram/vm1.fd is not below /srv/vmdata",
    ),
    # what is one server's
    "PCI": (with_device('<hostdev mode="subsystem" type="pci"/>'), "hostdev: a device of this"),
    "a folder": (with_device("<filesystem/>"), "filesystem: a folder of this server"),
    "shared memory": (with_device('<shmem name="x"/>'), "shmem: memory shared with this"),
    "NVDIMM": (with_device('<memory model="nvdimm"/>'), "an NVDIMM is a file that no lease covers"),
    "pmem": (with_device('<memory model="virtio-pmem"/>'), "a pmem device is a file"),
    "TPM": (with_device('<tpm model="tpm-crb"/>'), "a TPM's state stays on this node"),
    "a card reader": (with_device('<smartcard mode="host"/>'), "a card reader of this server"),
    "a keyboard": (with_device('<input type="passthrough"/>'), "an input device of this server"),
    "an event device": (with_device('<input type="evdev"/>'), "an input device of this server"),
    "OpenGL": (
        with_device('<graphics type="spice"><gl enable="yes"/></graphics>'),
        "gl[@enable='yes']: QEMU does not move a guest that draws with OpenGL",
    ),
    "no screen": (with_device('<graphics type="egl-headless"/>'), "that draws with OpenGL"),
    "SEV": (DOMAIN.replace("<devices>", "<launchSecurity/><devices>"), "with encrypted memory"),
    "its processor": (
        DOMAIN.replace("<devices>", '<cpu migratable="off"/><devices>'),
        "its processor can't be moved",
    ),
    "arguments": (
        DOMAIN.replace(
            "</domain>",
            '<q:commandline xmlns:q="http://libvirt.org/schemas/domain/qemu/1.0"/></domain>',
        ),
        "commandline: arguments to QEMU itself can't be looked into",
    ),
    "a host's serial port": (
        with_device('<serial type="dev"><source path="/dev/ttyS0"/></serial>'),
        "serial: a dev of this server can't move with it",
    ),
    "a pipe": (with_device('<channel type="pipe"/>'), "channel: a pipe of this server"),
    "an address": (
        with_device('<graphics type="vnc"><listen type="address" address="10.0.0.1"/></graphics>'),
        "graphics: 10.0.0.1 is this node's own: listen on 127.0.0.1",
    ),
    "an address, older": (with_device('<graphics type="vnc" listen="10.0.0.1"/>'), "10.0.0.1 is"),
    # networks
    "libvirt's network": (
        with_port('<interface type="network"><source network="default"/>'),
        "interface: it is of type network: use a bridge of both nodes, as br0",
    ),
    "another bridge": (
        with_port('<interface type="bridge"><source bridge="virbr0"/>'),
        "interface: virbr0 is none of the pair's bridges (br0, br0.8)",
    ),
    "macvtap": (with_port('<interface type="direct"><source dev="eth0"/>'), "is of type direct"),
    "SR-IOV": (with_port('<interface type="hostdev">'), "is of type hostdev"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused(case: str) -> None:
    text, words = REFUSALS[case]
    with pytest.raises(Refused) as refusal:
        made(text)
    assert words in refusal.value.evidence
    assert refusal.value.way_out


@pytest.mark.parametrize("path", NEVER)
def test_all_that_never_may_be_is_tried(path: str) -> None:
    assert [case for case, (text, _) in REFUSALS.items() if matches(text, path)]


def matches(text: str, path: str) -> bool:
    try:
        return xml(text).find(path) is not None
    except ET.ParseError:
        return False


def test_every_fault_is_told_at_once() -> None:
    text = with_device('<tpm model="tpm-crb"/>').replace("br0", "virbr0").replace("/srv/", "/x/")
    with pytest.raises(Refused, match=r"tpm: .*; disk vda: .*; interface: "):
        made(text)


@pytest.mark.parametrize("name", ["", "ks-vm", "cli-x", "1vm", "a b", "a/b", "a" * 61, "ä", "a'b"])
def test_names_that_none_may_have(name: str) -> None:
    with pytest.raises(Refused, match="is no name for a guest"):
        made(name=name)


@pytest.mark.parametrize(
    "text",
    [
        with_disk("file", 'file="/srv/vmdata/x.iso"', "<readonly/>", ' device="cdrom"'),
        with_disk("volume", 'pool="vmdata" volume="b.raw"'),
        DOMAIN.replace('bridge="br0"', 'bridge="br0.8"'),
        with_device('<graphics type="vnc"><listen type="address" address="0.0.0.0"/></graphics>'),
        with_device('<graphics type="vnc"/>'),
        with_device('<disk type="file" device="cdrom"><target dev="sda" bus="sata"/></disk>'),
        DOMAIN.replace("</os>", "<kernel>/srv/vmdata/vmlinuz</kernel></os>"),
    ],
)
def test_what_is_taken(text: str) -> None:
    assert made(text).name == "vm1"


def test_what_is_completed() -> None:
    done = made(DOMAIN.replace('type="raw"/>', 'type="raw" cache="writeback"/>'))
    (driver,) = xml(done.text).iter("driver")
    assert driver.attrib == {"name": "qemu", "type": "raw", "cache": "none", "io": "native"}
    assert [told.partition(" ")[0] for told in done.completed] == ["uuid", "MAC", "vda:", "vda:"]
    assert "vda: cache=none, was writeback" in done.completed
    assert (done.images, done.reads) == ((Image("/srv/vmdata/vm1.raw", "raw"),), ())
    assert made(done.text).text == done.text, "the same again"
    assert not made(done.text).completed


def test_numbers_that_stay_and_are_nobody_elses() -> None:
    two = with_device('<interface type="bridge"><source bridge="br0"/></interface>')
    first, again = made(two), made(two)
    assert first == again
    macs = [mac.attrib["address"] for mac in xml(first.text).iter("mac")]
    other = made(two.replace("vm1", "web"), "web")
    macs += [mac.attrib["address"] for mac in xml(other.text).iter("mac")]
    assert len(set(macs)) == 4
    assert all(mac.startswith("52:54:00:") for mac in macs)
    assert xml(first.text).findtext("uuid") != xml(other.text).findtext("uuid")


def test_a_volume_of_the_pairs_pool_is_a_file() -> None:
    done = made(with_disk("volume", 'pool="vmdata" volume="b.raw"'))
    assert [image.path for image in done.images] == ["/srv/vmdata/vm1.raw", "/srv/vmdata/b.raw"]


@pytest.mark.parametrize(
    ("system", "variables"),
    [
        ('<os firmware="efi">', "/srv/vmdata/guests/vm1.nvram"),
        ('<os><loader readonly="yes" type="pflash">/x</loader>', "/srv/vmdata/guests/vm1.nvram"),
        ('<os><loader type="pflash" stateless="yes">/x</loader>', None),
        ('<os firmware="efi"><nvram>/srv/vmdata/v</nvram>', "/srv/vmdata/v"),
        ("<os>", None),
    ],
)
def test_where_uefis_variables_lie(system: str, variables: "str | None") -> None:
    assert xml(made(DOMAIN.replace("<os>", system)).text).findtext("os/nvram") == variables


@ONE_PYTHON
@pytest.mark.parametrize("text", [DOMAIN, UEFI])
def test_libvirts_schema_takes_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "vm1.xml"
    for content, status in ((made(text).text, 0), (made(text).text.replace("disk", "disc"), 3)):
        file.write_text(content)
        argv = ["virt-xml-validate", str(file), "domain"]
        assert subprocess.run(argv, capture_output=True, check=False).returncode == status


@ONE_PYTHON
def test_pacemakers_agent_finds_the_name(tmp_path: Path) -> None:
    """By the line of the agent's own that looks for it."""
    file, crowded = tmp_path / "vm1.xml", DOMAIN.replace("\n", " ")
    file.write_text(made(crowded).text)
    (line,) = [text for text in AGENT.read_text().splitlines() if "DOMAIN_NAME=`egrep" in text]
    script = f"OCF_RESKEY_config={file}; {line}; echo $DOMAIN_NAME"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "vm1\n" == f"{name_in(file.read_text())}\n"


def test_what_no_two_guests_have() -> None:
    done = made(with_disk("file", 'file="/srv/vmdata/x.iso"', "<readonly/>"))
    mine = claims(done.text)
    assert {claim.partition(" ")[0] for claim in mine} == {"the"}
    assert "the disk /srv/vmdata/vm1.raw" in mine
    assert not [claim for claim in mine if "x.iso" in claim], "which many may read"
    assert len(mine) == 3
    assert files_in(done.text) == ["/srv/vmdata/vm1.raw", "/srv/vmdata/x.iso"]
    with pytest.raises(ValueError, match="not XML"):
        claims("<domain")
