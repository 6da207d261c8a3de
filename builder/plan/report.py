"""The pair on paper: what `ksbuild report` draws. Pure; lengths in the drawings are CSS pixels."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jinja2

from builder.plan import Plan
from builder.plan.disk import GIB, MIB, data_start, os_partitions
from builder.profile.model import NodeSection, Profile
from builder.profile.services import FenceDevice
from firstboot.node import RENDEZVOUS_PORT, SCHEMA, Identity
from firstboot.render import firewalld
from firstboot.sequence import SEQUENCE

WIDTH = 720
_NODE_WIDTH, _ROW, _TOP, _DEVICE = 262, 24, 96, 56
_BAR = 700
_IPMI = ("ipmilan", "ilo4", "ilo5")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of text in a node's box; `y` is its baseline."""

    y: int
    text: str
    cable: bool = False


@dataclass(frozen=True, slots=True)
class DeviceBox:
    """A fence device below the node whose power it cuts."""

    y: int
    title: str
    place: str


@dataclass(frozen=True, slots=True)
class NodeBox:
    """A node in the topology; `x` is its left edge."""

    x: int
    height: int
    name: str
    rows: tuple[Row, ...]
    devices: tuple[DeviceBox, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """A partition: `start` and `size` in sectors of 512 bytes, `x` and `width` on its bar."""

    name: str
    start: int
    size: int | None
    x: float
    width: float

    @property
    def text(self) -> str:
        """Its size in words."""
        if self.size is None:
            return "the rest"
        unit, name = (GIB, "GiB") if self.size % GIB == 0 else (MIB, "MiB")
        return f"{self.size // unit} {name}"


@dataclass(frozen=True, slots=True)
class Opening:
    """A port that is open, or that a node has to reach."""

    port: str
    protocol: str
    purpose: str
    where: str


def render(plan: Plan, templates: jinja2.Environment) -> str:
    """One HTML page that needs nothing else."""
    profile = plan.profile
    boxes = _boxes(profile)
    page = templates.overlay(autoescape=True).get_template("report/report.html.j2")
    return page.render(
        plan=plan,
        profile=profile,
        network=ipaddress.IPv4Interface(profile.node[0].uplink.address).network,
        boxes=boxes,
        cables=_cables(boxes),
        cable_ends=list(zip(*(node.crossover.ports for node in profile.node), strict=True)),
        width=WIDTH,
        node_width=_NODE_WIDTH,
        top=_TOP,
        height=_TOP + max(box.height + _DEVICE * len(box.devices) for box in boxes) + 16,
        whole=_whole_disk(plan),
        system=_system(plan),
        bar=_BAR,
        openings=list(_openings(plan)),
        steps=[step.name for step in SEQUENCE],
        labels=list(_labels(profile)),
    )


def _boxes(profile: Profile) -> tuple[NodeBox, NodeBox]:
    texts = [list(_lines(profile, number)) for number in (0, 1)]
    most = max(len(lines) for lines in texts)
    return (
        _box(profile.node[0], 0, texts[0], most),
        _box(profile.node[1], WIDTH - _NODE_WIDTH, texts[1], most),
    )


def _box(node: NodeSection, x: int, lines: Sequence[tuple[str, bool]], most: int) -> NodeBox:
    rows = tuple(
        Row(_TOP + 48 + number * _ROW, text, cable) for number, (text, cable) in enumerate(lines)
    )
    height = 48 + most * _ROW
    devices = tuple(
        DeviceBox(
            _TOP + height + 20 + number * _DEVICE,
            f"level {device.level}: {device.agent}",
            _place(device),
        )
        for number, device in enumerate(sorted(node.fencing, key=lambda device: device.level))
    )
    return NodeBox(x, height, node.name, rows, devices)


def _lines(profile: Profile, number: int) -> Iterator[tuple[str, bool]]:
    node = profile.node[number]
    for port in node.uplink.ports:
        yield f"uplink {port}", False
    yield f"br0 {node.uplink.address}", False
    for bridge in profile.bridge:
        address = bridge.addresses[number] if bridge.addresses else "no address"
        yield f"{bridge.name} VLAN {bridge.vlan}, {address}", False
    yield f"bond {node.crossover.address}", False
    for port in node.crossover.ports or ("ports that the agent finds",):
        yield f"crossover {port}", True


def _cables(boxes: tuple[NodeBox, NodeBox]) -> list[tuple[int, int]]:
    """(y on the left, y on the right) of each cable; with ports of one's own choice, one line."""
    left, right = ([row.y - 4 for row in box.rows if row.cable] for box in boxes)
    return list(zip(left, right, strict=True))


def _place(device: FenceDevice) -> str:
    if device.agent == "custom":
        return str(device.command)
    return str(device.address) + (f" port {device.port}" if device.port else "")


def _whole_disk(plan: Plan) -> list[Slice]:
    """The operating system and the data, to the scale of the smallest disk that fits, if told."""
    storage, sizes = plan.pair.storage, plan.profile.node[0].disk.size_gib
    start = data_start(storage.os_gib, storage.grain_sectors)
    disk = (sizes[0] if sizes else 4 * storage.os_gib) * GIB
    edge = _BAR * min(start / disk, 1)
    return [
        Slice("operating system", 0, storage.os_gib * GIB, 0, edge),
        Slice("data", start, None, edge, _BAR - edge),
    ]


def _system(plan: Plan) -> list[Slice]:
    """The operating system's partitions to their own scale."""
    scale = _BAR / (plan.pair.storage.os_gib * GIB)
    return [
        Slice(each.name, each.start, each.size, each.start * scale, each.size * scale)
        for each in os_partitions(plan.pair.storage.os_gib)
    ]


def _openings(plan: Plan) -> Iterator[Opening]:
    first = Identity(SCHEMA, plan.pair.nodes[0].name, plan.pair)
    yield Opening("22", "tcp", "ssh", "crossover; the uplink as the administrator has it")
    for port, protocol in firewalld.crossover_ports(first):
        yield Opening(port, protocol, _purpose(plan, port), "crossover, from the other node")
    port, protocol = firewalld.COROSYNC
    yield Opening(port, protocol, "corosync's second link", "uplink, from the other node alone")
    for node in plan.profile.node:
        for device in node.fencing:
            if device.agent != "custom":
                number = device.port or (623 if device.agent in _IPMI else 443)
                protocol = "udp" if device.agent in _IPMI else "tcp"
                what = f"{node.name}'s fence device, {device.agent}"
                yield Opening(str(number), protocol, what, f"out to {device.address}, both nodes")


def _purpose(plan: Plan, port: str) -> str:
    known = {
        str(RENDEZVOUS_PORT): "the agents' meeting",
        str(plan.pair.drbd.port): "DRBD",
        firewalld.COROSYNC[0]: "corosync",
        firewalld.DLM[0]: "dlm",
        firewalld.MIGRATION[0]: "live migration, the guests' memory",
        firewalld.LIBVIRT_TLS[0]: "live migration, libvirt over TLS",
        firewalld.NTP[0]: "time",
    }
    return known[port]


def _labels(profile: Profile) -> Iterator[tuple[str, list[str]]]:
    """For each server its name and what to write on it."""
    for role, node in zip(("first", "second"), profile.node, strict=True):
        address = ipaddress.IPv4Interface(node.uplink.address).ip
        yield (
            node.name,
            [
                f"pair {profile.pair.name}, the {role} node",
                f"serial {node.serial}" if node.serial else "known by its ports",
                f"uplink {address}",
                *(f"power: {device.agent} {_place(device)}" for device in node.fencing),
            ],
        )
