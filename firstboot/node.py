"""What a node knows of its pair: node.json as values, and the plan digest.

Pure: no files, no clock, no network. The builder makes these values from the profile, the agent
reads them back; both import this module, so they cannot disagree about their meaning.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Optional, get_args, get_origin, get_type_hints

from firstboot import VERSION

SCHEMA = 1
RENDEZVOUS_PORT = 8443
BOND = "bond0"
SECTOR = 512
PARTITIONS = ("biosboot", "esp", "boot", "swap", "root", "data")

CAPABILITIES: dict[str, frozenset[str]] = {
    "el9": frozenset({"dmi", "firewall"}),
    "debian12-lab": frozenset(),
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
class Storage:
    """The disk layout both nodes share.

    ``os_gib`` GiB at the head of the disk belong to the operating system; the data partition
    starts behind them at a multiple of ``grain_sectors`` (512-byte sectors).
    """

    os_gib: int
    grain_sectors: int


@dataclass(frozen=True)
class Node:
    """One of the two servers.

    ``crossover_address`` is ``address/prefix`` on the bond; ``crossover_ports`` are permanent MACs
    in upper case with colons; ``serial`` is the DMI serial number, where the profile gives one.
    """

    name: str
    serial: Optional[str]
    crossover_address: str
    crossover_ports: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Both nodes and what they share; ``nodes[0]`` is the first node, the one that seeds."""

    id: str
    name: str
    platform: str
    storage: Storage
    crossover: Crossover
    nodes: tuple[Node, Node]

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when the pair has none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def peer_of(self, name: str) -> Node:
        """The other node."""
        first, second = self.nodes
        return second if self.node(name) is first else first

    def has(self, capability: str) -> bool:
        """Whether the pair's platform can do this at all (see CAPABILITIES)."""
        return capability in CAPABILITIES[self.platform]


@dataclass(frozen=True)
class Identity:
    """node.json: which node this is, of which pair."""

    schema: int
    node: str
    pair: Pair

    @property
    def me(self) -> Node:
        """This node."""
        return self.pair.node(self.node)

    @property
    def peer(self) -> Node:
        """The other one."""
        return self.pair.peer_of(self.node)


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


def key_digests(pair: Pair) -> dict[str, str]:
    """Each leaf of the pair with a short digest, so that a difference can be named, not shown."""
    return {
        path: hashlib.sha256(canonical(value).encode()).hexdigest()[:12]
        for path, value in sorted(_leaves(asdict(pair), "pair"))
    }


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
    identity: Identity = _value(Identity, raw, "node.json")
    if identity.pair.platform not in CAPABILITIES:
        raise NodeError(f"node.json: unknown platform {identity.pair.platform!r}")
    if identity.node not in [node.name for node in identity.pair.nodes]:
        raise NodeError(f"node.json: {identity.node!r} is not a node of this pair")
    return identity


def canonical(value: Any) -> str:
    """JSON with one spelling: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in _leaves(value[key], f"{path}.{key}")]
    if isinstance(value, (list, tuple)):
        return [leaf for i, item in enumerate(value) for leaf in _leaves(item, f"{path}[{i}]")]
    return [(path, value)]


def _value(kind: Any, raw: Any, path: str) -> Any:
    if get_origin(kind) is tuple:
        return _tuple(kind, raw, path)
    if get_origin(kind) is not None:  # Optional[X], the only union in use
        inner = next(arg for arg in get_args(kind) if arg is not type(None))
        return None if raw is None else _value(inner, raw, path)
    if is_dataclass(kind):
        return _dataclass(kind, raw, path)
    if type(raw) is not kind:
        raise NodeError(f"{path}: {kind.__name__} expected, found {type(raw).__name__}")
    return raw


def _tuple(kind: Any, raw: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise NodeError(f"{path}: a list expected, found {type(raw).__name__}")
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(raw)
    if len(kinds) != len(raw):
        raise NodeError(f"{path}: {len(kinds)} items expected, found {len(raw)}")
    return tuple(_value(k, item, f"{path}[{i}]") for i, (k, item) in enumerate(zip(kinds, raw)))


def _dataclass(kind: Any, raw: Any, path: str) -> Any:
    if not isinstance(raw, Mapping):
        raise NodeError(f"{path}: an object expected, found {type(raw).__name__}")
    names = {field.name for field in fields(kind)}
    if names != set(raw):
        unknown, missing = sorted(set(raw) - names), sorted(names - set(raw))
        raise NodeError(f"{path}: unknown keys {unknown}, missing keys {missing}")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], raw[name], f"{path}.{name}") for name in names})
