"""A plan in words: what will happen to each node, for `ksbuild plan`."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from builder.plan import Plan
from builder.plan.disk import GIB, MIB, data_start, os_partitions
from builder.profile.model import Disk, NodeSection
from firstboot.node import partition_uuid
from firstboot.sequence import SEQUENCE


def as_json(plan: Plan) -> dict[str, Any]:
    """The same facts for programs: disk in sectors of 512 bytes."""
    return {
        "pair": plan.pair.name,
        "plan_digest": plan.digest,
        "nodes": {node.name: _node_json(plan, node) for node in plan.profile.node},
    }


def as_text(plan: Plan) -> Iterator[str]:
    """Lines for people."""
    profile = plan.profile
    yield f"pair {plan.pair.name} ({profile.pair.platform}), plan {plan.digest}"
    for role, node in zip(("first", "second"), profile.node, strict=True):
        yield ""
        yield f"{node.name}, the {role} node"
        yield f"  is known by   {_known_by(node)}"
        yield f"  is installed  on the one disk with {_disk(node.disk)}, if blank or consented to"
        for name, start, size in _layout(plan):
            yield f"    {name:<9} sector {start:>9}  {size}"
        yield f"  uplink        {', '.join(node.uplink.ports)}: {node.uplink.address}"
        ports = ", ".join(node.crossover.ports) or "the ports that the agent finds"
        yield f"  crossover     {ports}: {node.crossover.address}"
        for device in node.fencing:
            target = device.address or device.command
            sets = f"/{device.set_address.prefix}, set by the node" if device.set_address else ""
            yield f"  fenced by     level {device.level}: {device.agent} {target}{sets}"
    yield ""
    yield f"then each node's agent: {', '.join(step.name for step in SEQUENCE)}"


def changes(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Iterator[str]:
    """Paths that differ between two trees: + new, - gone, ~ changed."""
    for path in sorted(old.keys() | new.keys()):
        if path not in old:
            yield f"+ {path}"
        elif path not in new:
            yield f"- {path}"
        elif old[path] != new[path]:
            yield f"~ {path}"


def _node_json(plan: Plan, node: NodeSection) -> dict[str, Any]:
    return {
        "serial": node.serial,
        "disk": node.disk.model_dump(exclude_none=True),
        "partitions": {
            name: {"start": start, "partuuid": partition_uuid(plan.pair.id, node.name, name)}
            for name, start, _ in _layout(plan)
        },
        "uplink": str(ipaddress.IPv4Interface(node.uplink.address)),
        "crossover": node.crossover.address,
        "steps": [step.name for step in SEQUENCE],
    }


def _layout(plan: Plan) -> Iterator[tuple[str, int, str]]:
    storage = plan.pair.storage
    for partition in os_partitions(storage.os_gib):
        size = partition.size
        text = f"{size // GIB} GiB" if size % GIB == 0 else f"{size // MIB} MiB"
        yield partition.name, partition.start, text
    start = data_start(storage.os_gib, storage.grain_sectors)
    yield "data", start, "the rest (later only if the disk tells larger I/O sizes)"


def _known_by(node: NodeSection) -> str:
    return f"serial number {node.serial}" if node.serial else "all of its ports' MACs"


def _disk(disk: Disk) -> str:
    said = disk.model_dump(exclude_none=True)
    if sizes := said.pop("size_gib", None):
        said["size"] = f"{sizes[0]} to {sizes[1]} GiB"
    return ", ".join(f"{key} {value}" for key, value in said.items())
