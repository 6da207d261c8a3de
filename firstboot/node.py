"""What a node knows of its pair: node.json as values, and the plan digest.

Pure: no files, no clock, no network. The builder makes these values from the profile, the agent
reads them back; both import this module, so they cannot disagree about their meaning.
"""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from typing import Any, Optional

from firstboot import VERSION, strictjson
from firstboot.thresholds import Monitoring
from firstboot.whom import Alerts

SCHEMA = 1
RENDEZVOUS_PORT = 8443
BOND = "bond0"
BRIDGE = "br0"  # always there, on the uplink
RESOURCE = "vmdata"  # the one DRBD resource; its device is /dev/drbd0
FILE_SYSTEM = "FS0"  # second half of the lock table, CLUSTER:FS0
SECTOR = 512
PARTITIONS = ("biosboot", "esp", "boot", "swap", "root", "data")

# Where a fence agent that is not one of ours has to be; see firstboot/render/fencedevice.py.
FENCE_COMMAND = r"/usr/sbin/(fence_[a-z0-9_]+)"
# "drbd9": DRBD 9's dialect of resource file, commands and status; without it 8.4's.
_EL9 = "dmi drbd9 firewall inband-ipmi ksm kvm selinux"
CAPABILITIES: dict[str, frozenset[str]] = {
    "el9": frozenset(_EL9.split()),
    "debian12-lab": frozenset(),  # in User-mode Linux
    "debian12-qemu": frozenset({"firewall", "ksm"}),  # the same on the kernel Debian ships
}


class NodeError(ValueError):
    """node.json is not what this agent understands; the text names the place."""


@dataclass(frozen=True)
class Crossover:
    """The bond between the two nodes. ``mtu`` in bytes, ``miimon_ms`` in milliseconds."""

    mode: str
    miimon_ms: int
    mtu: int


@dataclass(frozen=True)
class Uplink:
    """How both nodes are joined to the local network; ``mtu`` in bytes.

    ``mode`` bonds a node's several ports; ``vlan`` (or None) carries the nodes' own addresses.
    """

    mode: str
    vlan: Optional[int]
    mtu: int


@dataclass(frozen=True)
class Bridge:
    """A bridge for guests on one VLAN; ``addresses`` (address/prefix) are both nodes' or none."""

    name: str
    vlan: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Storage:
    """The disk layout both nodes share.

    ``os_gib`` GiB at the head of the disk belong to the operating system; the data partition
    starts behind them at a multiple of ``grain_sectors`` (512-byte sectors). ``raid_degraded`` is
    "refuse" or "warn": what a node does whose array is not whole when it is set up.
    """

    os_gib: int
    grain_sectors: int
    raid_degraded: str


@dataclass(frozen=True)
class Drbd:
    """Replication: TCP ``port`` on the bond, most MiB/s of a resync, checksum of a verify."""

    port: int
    resync_mib_s: int
    verify: str


@dataclass(frozen=True)
class Gfs2:
    """The shared file system: MiB of each of its two journals, and where it is mounted."""

    journal_mib: int
    mount: str


@dataclass(frozen=True)
class Cluster:
    """corosync, pacemaker and dlm.

    ``token_ms`` without a token and a node counts as lost; ``timeout_factor`` multiplies what
    pacemaker's operations may take; ``fence_delay_s`` is the first node's lead in a duel.
    """

    token_ms: int
    timeout_factor: int
    plock_rate_limit: int
    plock_ownership: bool
    fence_delay_s: int


@dataclass(frozen=True)
class FenceDevice:
    """One way to cut a node's power; keys as in the profile.

    ``port`` None: the agent's own. ``set_address`` (address/prefix), ``set_gateway``: for its BMC.
    """

    level: int
    agent: str
    address: Optional[str]
    port: Optional[int]
    user: str
    password_file: Optional[str]
    command: Optional[str]
    set_address: Optional[str] = None
    set_gateway: Optional[str] = None


@dataclass(frozen=True)
class Ksm:
    """Sharing of equal memory pages; keys of ksmtuned.conf in the profile's words and units."""

    enabled: bool
    monitor_interval_s: int
    threshold_percent: int
    sleep_ms: int


@dataclass(frozen=True)
class Guests:
    """Limits for guests: ``dirty_mib`` MiB unwritten at which writers wait, live migrations."""

    dirty_mib: int
    migrations: int


@dataclass(frozen=True)
class Account:
    """Who may log in by these OpenSSH public keys, each one line; root is one of them."""

    name: str
    ssh_keys: tuple[str, ...]


@dataclass(frozen=True)
class NodeUplink:
    """A node in the local network; ``ports`` are permanent MACs, ``address`` address/prefix."""

    ports: tuple[str, ...]
    address: str
    gateway: str
    dns: tuple[str, ...]


@dataclass(frozen=True)
class Node:
    """One of the two servers.

    ``crossover_address`` is ``address/prefix`` on the bond; ``crossover_ports`` are permanent MACs
    in upper case with colons, empty where the agent finds them; ``serial`` is the DMI serial
    number, where the profile gives one; ``fencing`` cuts this node's power.
    """

    name: str
    serial: Optional[str]
    uplink: NodeUplink
    crossover_address: str
    crossover_ports: tuple[str, ...]
    fencing: tuple[FenceDevice, ...]


@dataclass(frozen=True)
class Pair:
    """Both nodes and what they share; ``nodes[0]`` is the first node, the one that seeds.

    ``ssh_passwords``: some account has nothing but a password to log in with.
    """

    id: str
    name: str
    platform: str
    ssh_passwords: bool
    accounts: tuple[Account, ...]
    time_servers: tuple[str, ...]
    uplink: Uplink
    crossover: Crossover
    bridges: tuple[Bridge, ...]
    storage: Storage
    drbd: Drbd
    gfs2: Gfs2
    cluster: Cluster
    ksm: Ksm
    guests: Guests
    monitoring: Monitoring
    alerts: Alerts
    nodes: tuple[Node, Node]

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when the pair has none."""
        return {node.name: node for node in self.nodes}[name]

    def peer_of(self, name: str) -> Node:
        """The other node."""
        first, second = self.nodes
        return second if self.node(name) is first else first

    def has(self, capability: str) -> bool:
        """Whether the pair's platform can do this at all (see CAPABILITIES)."""
        return capability in CAPABILITIES[self.platform]


@dataclass(frozen=True)
class Identity:
    """node.json: which node this is, of which pair.

    `description`, the administrator's own line, stands outside the plan digest: nodes meet whose
    media only tell it differently.
    """

    schema: int
    node: str
    pair: Pair
    description: str = ""

    @property
    def me(self) -> Node:
        """This node."""
        return self.pair.node(self.node)

    @property
    def peer(self) -> Node:
        """The other one."""
        return self.pair.peer_of(self.node)

    @property
    def first(self) -> bool:
        """Whether this is the profile's first node, the one that seeds."""
        return self.pair.nodes[0].name == self.node


def partition_uuid(pair_id: str, node: str, partition: str) -> str:
    """PARTUUID of a partition: uuid5(pair id, node, name), so that ours is told from any other.

    `partition` is one of PARTITIONS. The same on every build of the same pair.
    """
    if partition not in PARTITIONS:
        raise ValueError(f"no partition {partition!r} in the layout")
    return str(uuid.uuid5(uuid.UUID(pair_id), f"{node}/{partition}"))


def plan_digest(pair: Pair) -> str:
    """sha256 over the pair's canonical JSON and the agent's version; equal on both nodes."""
    text = canonical({"pair": asdict(pair), "agent": VERSION})
    return hashlib.sha256(text.encode()).hexdigest()


def to_json(identity: Identity) -> str:
    """node.json as text, the same for the same values."""
    return json.dumps(asdict(identity), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> Identity:
    """Read node.json strictly. Raises NodeError on anything missing, unknown or of a wrong type."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise NodeError(f"node.json is not JSON: {error}") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise NodeError(f"node.json: schema {SCHEMA} expected, this medium and agent do not fit")
    try:
        identity: Identity = strictjson.value(Identity, raw, "node.json")
    except strictjson.StrictError as error:
        raise NodeError(str(error)) from None
    if identity.pair.platform not in CAPABILITIES:
        raise NodeError(f"node.json: unknown platform {identity.pair.platform!r}")
    if identity.node not in [node.name for node in identity.pair.nodes]:
        raise NodeError(f"node.json: {identity.node!r} is not a node of this pair")
    return identity


def canonical(value: Any) -> str:
    """JSON with one spelling: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
