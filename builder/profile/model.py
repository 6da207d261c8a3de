"""The profile as a model: every key once, with its meaning, its unit and its limits."""

from typing import Annotated, Literal

from pydantic import Field

from builder.profile.monitoring import Monitoring
from builder.profile.services import (
    Alerts,
    Cluster,
    Drbd,
    FenceDevice,
    Gfs2,
    Guests,
    Ksm,
    Progress,
    Time,
)
from builder.profile.strict import Strict
from builder.profile.values import (
    Address,
    ClusterName,
    CrossoverPorts,
    CryptHash,
    Fingerprints,
    HostName,
    Interface,
    InterfaceName,
    KernelArgument,
    Mac,
    Package,
    PairId,
    RepositoryName,
    SshKey,
    Static,
    Text,
    Url,
    UserName,
    Vlan,
    WebUrl,
    WipeConsent,
)


class PairSection(Strict):
    """What names the pair."""

    name: ClusterName
    """Name of the cluster, and of the lock table: letters, digits, - and _, at most 32."""
    id: PairId
    """A UUID of this pair's own, by which its disks are told from every other pair's."""
    platform: Literal["el9", "debian12-lab", "debian12-qemu"] = "el9"
    """What the nodes run: el9 (RHEL, AlmaLinux, Rocky Linux 9), or the lab's stand-ins."""
    description: Text | None = None
    """A line for whoever looks: `ksnode status` and RESULT repeat it. Not in the plan digest."""


class Repository(Strict):
    """One more package repository of the installation."""

    name: RepositoryName
    """Its name, as dnf shows it."""
    url: Url | None = None
    """Where its repodata/ lies; without one, `name` is the id of one that a registration brings."""
    gpg_key: Text | None = None
    """File with the public keys its packages are signed with, beside the profile."""
    gpg_fingerprint: Fingerprints | None = None
    """That key's OpenPGP fingerprint, or a list; a file with any other key is refused."""


class Install(Strict):
    """Where the operating system comes from and how it is set."""

    url: Url | None = None
    """The installation tree: the folder with .treeinfo and images/. A DVD brings its own."""
    gpg_key: Text | None = None
    """File with the distribution's own public keys, beside the profile."""
    gpg_fingerprint: Fingerprints | None = None
    """Its OpenPGP fingerprint, or a list. With any given, every package must be signed by one."""
    repositories: list[Repository] = []
    """Further repositories, as high availability, resilient storage and ELRepo."""
    packages: list[Package] = []
    """Packages or @groups besides the ones a node needs."""
    language: Text = "en_US.UTF-8"
    """Locale of the installed system."""
    keyboard: Text = "us"
    """Keyboard layout of the console."""
    kernel_arguments: list[KernelArgument] = ["console=tty0", "console=ttyS0,115200n8"]
    """Kernel arguments of the installer and of the installed system."""
    proxy: WebUrl | None = None
    """HTTP proxy for the installation, without credentials."""
    registration_file: Text | None = None
    """For RHEL: a 0600 file beside the profile with `organization = ` and `activation_key = `."""
    secure_boot_key_enrolled: bool = False
    """The DRBD module's key is enrolled on both servers; otherwise Secure Boot must be off."""


class User(Strict):
    """An account on both nodes."""

    name: UserName
    """Login name."""
    groups: list[UserName] = []
    """Further groups; wheel may use sudo."""
    password_hash: CryptHash | None = None
    """A crypt(5) hash; without one only keys let the user in."""
    ssh_keys: list[SshKey] = []
    """OpenSSH public keys."""


class Access(Strict):
    """Who may log in."""

    ssh_keys: list[SshKey] = []
    """OpenSSH public keys of root."""
    root_password_hash: CryptHash | None = None
    """A crypt(5) hash for root on the console; without one the password is locked."""
    users: list[User] = []
    """Further accounts."""


class StorageSection(Strict):
    """The disk layout, the same on both nodes."""

    os_gib: Annotated[int, Field(ge=16, le=512)] = 36
    """GiB for the operating system at the head of the disk."""
    raid_strip_kib: Literal[4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096] | None = None
    """KiB the RAID controller writes to one disk before the next, if it does not tell by itself."""
    raid_data_disks: Annotated[int, Field(ge=1, le=64)] = 1
    """Disks of the array that carry data: RAID 5 of eight has seven."""
    raid_degraded: Literal["refuse", "warn"] = "refuse"
    """What a node does whose array is not whole when it is set up."""
    wipe: list[WipeConsent] = []
    """Fingerprints of used disks that may be erased, as the installer printed them."""


class CrossoverSection(Strict):
    """The bond over the cables between the two nodes."""

    mode: Literal["balance-rr", "active-backup", "802.3ad", "balance-xor"] = "balance-rr"
    """Bonding mode; balance-rr uses every cable for one stream."""
    mtu: Annotated[int, Field(ge=1280, le=9216)] = 1500
    """Bytes of the largest packet."""
    miimon_ms: Annotated[int, Field(ge=10, le=10000)] = 100
    """How often a cable's link is looked at, in milliseconds."""


class UplinkSection(Strict):
    """How both nodes are joined to the local network."""

    mode: Literal["active-backup", "802.3ad"] = "active-backup"
    """Bonding mode where a node has several uplink ports."""
    vlan: Vlan | None = None
    """VLAN that carries the nodes' own addresses; untagged without it."""
    mtu: Annotated[int, Field(ge=1280, le=9216)] = 1500
    """Bytes of the largest packet."""


class Bridge(Strict):
    """A bridge for guests on one VLAN of the uplink; br0 is always there, on the uplink itself."""

    name: InterfaceName
    """Interface name, at most 15 characters."""
    vlan: Vlan
    """VLAN number, 1 to 4094."""
    addresses: Annotated[list[Interface], Field(min_length=2, max_length=2)] | None = None
    """Addresses of the first and the second node on it, where they need any."""


class Disk(Strict):
    """Which disk; every key given must match, and exactly one disk may."""

    serial: Text | None = None
    """Serial number, as lsblk shows it."""
    wwn: Text | None = None
    """World wide name, as lsblk shows it."""
    path: Text | None = None
    """Name in /dev/disk/by-path."""
    size_gib: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Smallest and largest size in GiB, both included."""


class Uplink(Strict):
    """This node in the local network."""

    ports: Annotated[list[Mac], Field(min_length=1, max_length=4)]
    """Permanent MACs of the uplink's ports."""
    dhcp: Static = False
    """Always false: the second cluster link runs here and needs a fixed address."""
    address: Interface
    """Address and prefix of this node."""
    gateway: Address
    """The way out."""
    dns: list[Address] = []
    """Name servers."""


class NodeCrossover(Strict):
    """This node's end of the crossover cables."""

    address: Interface
    """Address and prefix on the bond."""
    ports: CrossoverPorts
    """Permanent MACs of the ports the cables are in, or "auto": the agent finds them."""


class NodeSection(Strict):
    """One of the two servers; the first in the file is the first node."""

    name: HostName
    """Host name, and the node's name everywhere: uname -n, DRBD, corosync."""
    serial: Text | None = None
    """DMI serial number; without it the server is known by its ports' MACs."""
    disk: Disk
    """The one disk that is installed on."""
    uplink: Uplink
    """The node in the local network."""
    crossover: NodeCrossover
    """The ports to the other node."""
    fencing: list[FenceDevice] = []
    """What cuts this node's power, by level; required on el9."""


class Profile(Strict):
    """The whole page."""

    pair: PairSection
    install: Install = Install()
    access: Access = Access()
    time: Time = Time()
    progress: Progress = Progress()
    alerts: Alerts = Alerts()
    storage: StorageSection = StorageSection()
    crossover: CrossoverSection = CrossoverSection()
    uplink: UplinkSection = UplinkSection()
    bridge: list[Bridge] = []
    """Bridges for guests, one a VLAN."""
    drbd: Drbd = Drbd()
    gfs2: Gfs2 = Gfs2()
    cluster: Cluster = Cluster()
    ksm: Ksm = Ksm()
    guests: Guests = Guests()
    monitoring: Monitoring = Monitoring()
    node: Annotated[list[NodeSection], Field(min_length=2, max_length=2)]
    """The two nodes; the first in the file is the first node."""
