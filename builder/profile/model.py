"""The profile as a model: every key once, with its meaning, its unit and its limits."""

import ipaddress
import re
import uuid
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_HOST_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _uuid(value: str) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise ValueError(
            f'not a UUID; every pair has its own, for a new one write "{uuid.uuid4()}"'
        ) from None


def _host_name(value: str) -> str:
    if len(value) > 64 or not all(_HOST_LABEL.fullmatch(label) for label in value.split(".")):
        raise ValueError("not a host name: letters a-z, digits and -, dots between labels, <= 64")
    return value


def _mac(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}", value):
        raise ValueError("not a MAC address: six pairs of hexadecimal digits with colons")
    if int(value[:2], 16) & 1:
        raise ValueError("a multicast address, not that of a port")
    return value.upper()


def _interface(value: str) -> str:
    try:
        interface = ipaddress.IPv4Interface(value)
    except ValueError:
        raise ValueError("not an IPv4 address with prefix, such as 192.168.0.1/22") from None
    if "/" not in value or not 8 <= interface.network.prefixlen <= 30:
        raise ValueError("a prefix of /8 to /30 is needed, such as 192.168.0.1/22")
    network = interface.network
    if interface.ip in (network.network_address, network.broadcast_address):
        raise ValueError(f"the network's own or broadcast address in {network}")
    return str(interface)


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError("not an IPv4 address") from None


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("a control character or line break is not allowed here")
    return value


def _crypt_hash(value: str) -> str:
    # crypt(5): $id$salt$hash; what is not one would be taken for a plain password.
    if not re.fullmatch(r"\$(?:5|6|y|2b)\$[./0-9A-Za-z$=,]{20,}", value):
        raise ValueError("not a password hash; make one with: openssl passwd -6")
    return value


def _ssh_key(value: str) -> str:
    kinds = r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+)"
    if not re.fullmatch(kinds + r' [A-Za-z0-9+/=]{40,}(?: [^"\\]*)?', _one_line(value)):
        raise ValueError("not an OpenSSH public key line")
    return value


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
PairId = Annotated[str, AfterValidator(_uuid)]
HostName = Annotated[str, AfterValidator(_host_name)]
Mac = Annotated[str, AfterValidator(_mac)]
Interface = Annotated[str, AfterValidator(_interface)]
Address = Annotated[str, AfterValidator(_address)]
CryptHash = Annotated[str, AfterValidator(_crypt_hash)]
SshKey = Annotated[str, AfterValidator(_ssh_key)]
Url = Annotated[Text, Field(pattern=r"^(?:https?|file)://[^\s\"'\\]+$")]
# corosync's and GFS2's own limit: the part of the lock table before the colon (mkfs.gfs2(8)).
ClusterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Package = Annotated[str, Field(pattern=r"^[@A-Za-z0-9][A-Za-z0-9_.+:^@-]*$", max_length=128)]
KernelArgument = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class PairSection(_Strict):
    """What names the pair."""

    name: ClusterName
    """Name of the cluster, and of the lock table: letters, digits, - and _, at most 32."""
    id: PairId
    """A UUID of this pair's own, by which its disks are told from every other pair's."""
    platform: Literal["el9", "debian12-lab"] = "el9"
    """What the nodes run: el9 (RHEL, AlmaLinux, Rocky Linux 9), or the lab's stand-in."""


class Repository(_Strict):
    """One more package repository of the installation."""

    name: RepositoryName
    """Its name, as dnf shows it."""
    url: Url
    """Where its repodata/ lies."""


class Install(_Strict):
    """Where the operating system comes from and how it is set."""

    url: Url
    """The installation tree: the folder with .treeinfo, images/ and the base repository."""
    repositories: list[Repository] = []
    """Further repositories, as high availability, resilient storage and ELRepo."""
    packages: list[Package] = []
    """Packages or @groups besides the ones a node needs."""
    language: Text = "en_US.UTF-8"
    """Locale of the installed system."""
    keyboard: Text = "us"
    """Keyboard layout of the console."""
    timezone: Text = "Etc/UTC"
    """Time zone; the hardware clock runs in UTC."""
    kernel_arguments: list[KernelArgument] = ["console=tty0", "console=ttyS0,115200n8"]
    """Kernel arguments of the installer and of the installed system."""


class Access(_Strict):
    """Who may log in as root."""

    ssh_keys: list[SshKey] = []
    """OpenSSH public keys."""
    root_password_hash: CryptHash | None = None
    """A crypt(5) hash for the console; without one the password is locked."""


class StorageSection(_Strict):
    """The disk layout, the same on both nodes."""

    os_gib: Annotated[int, Field(ge=16, le=512)] = 36
    """GiB for the operating system at the head of the disk."""
    raid_strip_kib: Annotated[int, Field(ge=4, le=4096)] | None = None
    """KiB the RAID controller writes to one disk before the next, if it does not tell by itself."""
    raid_data_disks: Annotated[int, Field(ge=1, le=64)] = 1
    """Disks of the array that carry data: RAID 5 of eight has seven."""


class CrossoverSection(_Strict):
    """The bond over the cables between the two nodes."""

    mode: Literal["balance-rr", "active-backup", "802.3ad", "balance-xor"] = "balance-rr"
    """Bonding mode; balance-rr uses every cable for one stream."""
    mtu: Annotated[int, Field(ge=1280, le=9216)] = 1500
    """Bytes of the largest packet."""
    miimon_ms: Annotated[int, Field(ge=10, le=10000)] = 100
    """How often a cable's link is looked at, in milliseconds."""


class Disk(_Strict):
    """Which disk; every key given must match, and exactly one disk may."""

    serial: Text | None = None
    """Serial number, as lsblk shows it."""
    wwn: Text | None = None
    """World wide name, as lsblk shows it."""
    path: Text | None = None
    """Name in /dev/disk/by-path."""
    size_gib: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Smallest and largest size in GiB, both included."""


class Uplink(_Strict):
    """The port into the local network."""

    port: Mac
    """Permanent MAC of the port."""
    address: Interface
    """Address and prefix of this node."""
    gateway: Address
    """The way out."""
    dns: list[Address] = []
    """Name servers."""


class NodeCrossover(_Strict):
    """This node's end of the crossover cables."""

    address: Interface
    """Address and prefix on the bond."""
    ports: Annotated[list[Mac], Field(min_length=1, max_length=8)]
    """Permanent MACs of the ports the cables are in."""


class NodeSection(_Strict):
    """One of the two servers; the first in the file is the first node."""

    name: HostName
    """Host name, and the node's name everywhere: uname -n, DRBD, corosync."""
    serial: Text | None = None
    """DMI serial number; without it the server is known by its ports' MACs."""
    disk: Disk
    """The one disk that is installed on."""
    uplink: Uplink
    """The port into the local network."""
    crossover: NodeCrossover
    """The ports to the other node."""


class Profile(_Strict):
    """The whole page."""

    pair: PairSection
    install: Install
    access: Access = Access()
    storage: StorageSection = StorageSection()
    crossover: CrossoverSection = CrossoverSection()
    node: Annotated[list[NodeSection], Field(min_length=2, max_length=2)]
    """The two nodes; the first in the file is the first node."""
