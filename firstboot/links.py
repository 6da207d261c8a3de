"""The network as the kernel runs it, and how it differs from the planned uplink. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from firstboot.node import BRIDGE, Identity
from firstboot.render.networkmanager.uplink import UPLINK, Bridged, bridges


@dataclass(frozen=True)
class Link:
    """A network interface; `mac` is the permanent address in upper case, `mtu` in bytes.

    `kind` is "" for a port, else bridge, bond, vlan and so on; `below` what a VLAN lies on, `above`
    the bridge or bond it is in; `number` a VLAN's, `mode` a bond's; `addresses` are address/prefix.
    """

    name: str
    kind: str
    mac: str
    mtu: int
    below: Optional[str]
    above: Optional[str]
    number: Optional[int]
    mode: Optional[str]
    addresses: frozenset[str]


def parse(ip_json: str) -> list[Link]:
    """`ip -j -d address show` -> ethernet links."""
    links = []
    for link in json.loads(ip_json):
        if link.get("link_type") != "ether":
            continue
        info = link.get("linkinfo", {})
        data = info.get("info_data", {})
        links.append(
            Link(
                name=link["ifname"],
                kind=info.get("info_kind", ""),
                # iproute2 shows permaddr only where it differs.
                mac=link.get("permaddr", link["address"]).upper(),
                mtu=link["mtu"],
                below=link.get("link"),
                above=link.get("master"),
                number=data.get("id"),
                mode=data.get("mode"),
                addresses=frozenset(
                    f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", ())
                ),
            )
        )
    return links


def uplink_ports(identity: Identity, links: Sequence[Link]) -> dict[str, str]:
    """MAC -> name of the planned uplink ports that this machine has."""
    planned = identity.me.uplink.ports
    return {link.mac: link.name for link in links if link.kind == "" and link.mac in planned}


def uplink_faults(identity: Identity, links: Sequence[Link]) -> dict[str, list[str]]:
    """Bridge -> how it, or what carries it, differs from the plan; only those that differ."""
    known = {link.name: link for link in links}
    ports = uplink_ports(identity, links)
    bonded = len(identity.me.uplink.ports) > 1
    base = UPLINK if bonded else next(iter(ports.values()), "")
    faults: dict[str, list[str]] = {}
    for bridge in bridges(identity):
        lines = list(_bridge_faults(bridge, known, base, identity.pair.uplink.mtu))
        if bridge.name == BRIDGE:
            lines += _base_faults(identity, known, base, ports)
        if lines:
            faults[bridge.name] = lines
    return faults


def _bridge_faults(
    bridge: Bridged, known: Mapping[str, Link], base: str, mtu: int
) -> Iterator[str]:
    link = known.get(bridge.name)
    if link is None or link.kind != "bridge":
        yield f"there is no bridge {bridge.name}"
        return
    if link.mtu != mtu:
        yield f"{bridge.name} has MTU {link.mtu}"
    if bridge.address is not None and bridge.address not in link.addresses:
        yield f"{bridge.name} has no address {bridge.address}"
    carrier = base if bridge.vlan is None else f"{UPLINK}.{bridge.vlan}"
    if bridge.vlan is not None:
        vlan = known.get(carrier)
        if vlan is None or (vlan.kind, vlan.number, vlan.below) != ("vlan", bridge.vlan, base):
            yield f"{carrier} is not VLAN {bridge.vlan} of {base}"
    if carrier not in known or known[carrier].above != bridge.name:
        yield f"{carrier} is not in {bridge.name}"


def _base_faults(
    identity: Identity, known: Mapping[str, Link], base: str, ports: Mapping[str, str]
) -> Iterator[str]:
    if len(identity.me.uplink.ports) == 1:
        return
    bond = known.get(base)
    if bond is None or bond.kind != "bond" or bond.mode != identity.pair.uplink.mode:
        yield f"{base} is not a bond in mode {identity.pair.uplink.mode}"
    for name in sorted(ports.values()):
        if known[name].above != base:
            yield f"{name} is not in {base}"
