"""A guest as pacemaker's: what is put into the CIB for it, found there, and taken out. Pure.

Guests that humans made with pcs are found as well: every ocf:heartbeat:VirtualDomain is one.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from firstboot.node import Pair
from firstboot.render.cib import MOUNT_CLONE
from firstboot.render.hosts import BOND_SUFFIX

# Less than the stickiness of the CIB: a guest starts where it is preferred, and stays where it is.
PREFERENCE = 50
PARAMETERS = {
    "hypervisor": "qemu:///system",
    "migration_transport": "tls",
    "migration_network_suffix": BOND_SUFFIX,
    # migrate_tls_force refuses a migration that does not ask for it.
    "migrate_options": "--tls",
}
# Name -> timeout and interval in seconds; a guest is given five minutes to shut down.
OPERATIONS = {
    "start": (120, 0),
    "stop": (300, 0),
    "migrate_to": (600, 0),
    "migrate_from": (120, 0),
    "monitor": (30, 30),
}
MOVE_S = OPERATIONS["migrate_to"][0] + OPERATIONS["migrate_from"][0]


@dataclass(frozen=True)
class Guest:
    """A guest in the CIB: pacemaker's name for it, its XML's path, where it rather starts.

    `after` are those that start before it. `priority` counts for its node in a duel.
    """

    name: str
    config: str
    prefers: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    priority: int = 1


def guests(live: str) -> dict[str, Guest]:
    """Those of a CIB, by name. Raises ValueError on what is not one."""
    configuration = _configuration(live)
    found = {}
    for primitive in configuration.iter("primitive"):
        if (primitive.get("provider"), primitive.get("type")) == ("heartbeat", "VirtualDomain"):
            name = primitive.attrib["id"]
            values = {p.get("name"): p.get("value", "") for p in primitive.iter("nvpair")}
            priority = values.get("priority", "0")
            found[name] = Guest(
                name,
                values.get("config", ""),
                _preferred(configuration, name),
                tuple(
                    order.get("first", "")
                    for order in configuration.iter("rsc_order")
                    if order.get("then") == name and order.get("first") != MOUNT_CLONE
                ),
                int(priority) if re.fullmatch(r"-?[0-9]+", priority) else 0,
            )
    return found


def additions(pair: Pair, guest: Guest) -> str:
    """What makes it pacemaker's, for one `cibadmin --modify --allow-create`."""
    name, factor = guest.name, pair.cluster.timeout_factor
    operations = "".join(
        f'<op id="{name}-{what}-{every}s" name="{what}" interval="{every}s"'
        f' timeout="{most * factor}s"/>'
        for what, (most, every) in OPERATIONS.items()
    )
    meta = {"allow-migrate": "true", "priority": str(guest.priority)}
    # Started in this order, stopped in the other, where several are: none waits for one that fails.
    orders = "".join(
        f'<rsc_order id="{name}-after-guest-{first}" first="{first}" first-action="start"'
        f' then="{name}" then-action="start" kind="Optional"/>'
        for first in guest.after
    )
    places = "".join(
        f'<rsc_location id="{name}-prefers-{node}" rsc="{name}" node="{node}"'
        f' score="{PREFERENCE}"/>'
        for node in guest.prefers
    )
    text = (
        f'<configuration><resources><primitive id="{name}" class="ocf" provider="heartbeat"'
        f' type="VirtualDomain">{_pairs(name, "instance_attributes", _parameters(guest))}'
        f"<operations>{operations}</operations>{_pairs(name, 'meta_attributes', meta)}"
        f'</primitive></resources><constraints><rsc_order id="{name}-after-vmdata"'
        f' first="{MOUNT_CLONE}" first-action="start" then="{name}" then-action="start"/>'
        f'<rsc_colocation id="{name}-with-vmdata" rsc="{name}" with-rsc="{MOUNT_CLONE}"'
        f' score="INFINITY"/>{orders}{places}</constraints></configuration>'
    )
    root = ET.fromstring(text)  # noqa: S314 - the lines above
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def clashes(live: str, added: str) -> list[str]:
    """Ids of the addition that the CIB has already, for something else."""
    there = {element.get("id") for element in _configuration(live).iter()} - {None}
    ours = [e.attrib["id"] for e in ET.fromstring(added).iter() if "id" in e.attrib]  # noqa: S314
    return [id_ for id_ in ours if id_ in there]


def xpath(name: str) -> str:
    """All that is said of a resource, for one `cibadmin --delete-all`."""
    roles = ("rsc", "with-rsc", "first", "then")
    said = " or ".join(f"@{role}='{name}'" for role in roles)
    return (
        f"//resources//primitive[@id='{name}'] | //constraints/*[{said}]"
        f" | //constraints//resource_ref[@id='{name}']"
    )


def dependents(known: Iterable[Guest], name: str) -> list[str]:
    """Guests that start after this one."""
    return sorted(guest.name for guest in known if name in guest.after)


def _parameters(guest: Guest) -> dict[str, str]:
    return {"config": guest.config, **PARAMETERS}


def _preferred(configuration: ET.Element, name: str) -> tuple[str, ...]:
    """By constraints that stay; what a move leaves is none of them."""
    wanted: Sequence[tuple[int, str]] = [
        (_score(place.get("score", "0")), place.get("node", ""))
        for place in configuration.iter("rsc_location")
        if place.get("rsc") == name
        and place.get("node")
        and not place.get("id", "").startswith("cli-")
    ]
    return tuple(node for score, node in sorted(wanted, reverse=True) if score > 0)


def _score(text: str) -> int:
    infinity = 1_000_000
    if text.lstrip("+-") == "INFINITY":
        return -infinity if text.startswith("-") else infinity
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else 0


def _pairs(name: str, tag: str, values: Mapping[str, str]) -> str:
    block = f"{name}-{tag}"
    pairs = "".join(
        f'<nvpair id="{block}-{key}" name="{key}" value={quoteattr(value)}/>'
        for key, value in values.items()
    )
    return f'<{tag} id="{block}">{pairs}</{tag}>'


def _configuration(live: str) -> ET.Element:
    try:
        found = ET.fromstring(live).find("configuration")  # noqa: S314 - root's own pacemaker
    except ET.ParseError as error:
        raise ValueError(f"not pacemaker's XML: {error}") from None
    if found is None:
        raise ValueError(f"not a CIB: {live[:100]!r}")
    return found
