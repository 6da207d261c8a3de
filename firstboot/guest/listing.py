"""What `ksnode guest list` tells, of what pacemaker and libvirt said. Pure."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from firstboot.guest.refusals import is_below
from firstboot.guest.resource import Guest

SCHEMA = 1
COLUMNS = ("GUEST", "NODE", "STATE", "PREFERS")


@dataclass(frozen=True)
class Row:
    """A guest of the cluster; `elsewhere` are files of its disks that one node alone has."""

    name: str
    node: str
    state: str
    prefers: tuple[str, ...]
    after: tuple[str, ...]
    config: str
    elsewhere: tuple[str, ...]


@dataclass(frozen=True)
class Outside:
    """A domain that libvirt has on a node and pacemaker knows nothing of."""

    name: str
    node: str
    state: str
    elsewhere: tuple[str, ...]


def places(status: str) -> dict[str, tuple[str, str]]:
    """crm_mon's XML -> resource: node ("" without one) and state, in small letters."""
    found = {}
    for resource in ET.fromstring(status).iter("resource"):  # noqa: S314 - root's own pacemaker
        nodes = [node.get("name", "") for node in resource.iterfind("node")]
        state = (resource.get("pending") or resource.get("role") or "").lower()
        for flag in ("failed", "blocked", "orphaned"):
            if resource.get(flag) == "true":
                state = flag
        if resource.get("managed") == "false":
            state += ", unmanaged"
        found[resource.get("id", "")] = (" and ".join(nodes), state)
    return found


def rows(
    guests: Iterable[Guest],
    placed: Mapping[str, tuple[str, str]],
    disks: Mapping[str, Sequence[str]],
    place: str,
) -> list[Row]:
    """The cluster's guests; `disks` are the files of those whose XML could be read."""
    found = []
    for guest in sorted(guests, key=lambda guest: guest.name):
        node, state = placed.get(guest.name, ("", "unknown"))
        apart = elsewhere(disks.get(guest.name, ()), place)
        found.append(Row(guest.name, node, state, guest.prefers, guest.after, guest.config, apart))
    return found


def elsewhere(paths: Iterable[str], place: str) -> tuple[str, ...]:
    """Those that do not lie on the shared file system."""
    return tuple(path for path in paths if not is_below(path, place))


def text(found: Sequence[Row], outside: Sequence[Outside], unseen: Sequence[str]) -> str:
    """For people: a table, then what is not as it should be, each with the next command."""
    cells = [COLUMNS]
    cells += [(r.name, r.node or "-", r.state, ", ".join(r.prefers) or "-") for r in found]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells]
    for row in found:
        lines += [
            f"{row.name}: {path} is on one node alone\n  next: ksnode guest remove {row.name}; "
            "move it to the shared file system; ksnode guest add"
            for path in row.elsewhere
        ]
    for one in outside:
        lines.append(f"outside the cluster: {one.name} on {one.node}, {one.state}")
        lines += [f"  {path} is on {one.node} alone" for path in one.elsewhere]
        lines.append(f"  next: {adoption(one.name, one.node)}")
    lines += [f"{node} was not seen: its libvirt does not answer from here" for node in unseen]
    return "\n".join(lines)


def adoption(name: str, node: str) -> str:
    """What makes a domain of libvirt's a guest of the pair; its XML is kept first."""
    return (
        f"on {node}: virsh dumpxml --inactive --security-info {name} > {name}.xml; "
        f"virsh shutdown {name}; virsh undefine --keep-nvram {name}; "
        f"ksnode guest add {name} --xml {name}.xml"
    )


def as_json(
    node: str, found: Sequence[Row], outside: Sequence[Outside], unseen: Sequence[str]
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "schema": SCHEMA,
        "node": node,
        "guests": [asdict(row) for row in found],
        "outside": [asdict(one) for one in outside],
        "unseen": list(unseen),
    }


def domains(shown: str) -> dict[str, str]:
    """`virsh --quiet list --all` -> name: state."""
    lines = re.findall(r"^\s*(?:\d+|-)\s+(\S.*?)\s{2,}(\S.*?)\s*$", shown, re.MULTILINE)
    return dict(lines)


def disks(shown: str) -> list[str]:
    """`virsh --quiet domblklist --details` -> what its disks lie on."""
    lines = re.findall(r"^\s*\S+\s+\S+\s+\S+\s+(\S.*?)\s*$", shown, re.MULTILINE)
    return [source for source in lines if source != "-"]
