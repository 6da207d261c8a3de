"""The way into the local network: br0 on the uplink's port or bond, and a bridge per VLAN.

    port --------------------- br0        one port
    port, port -- uplink ----- br0        several: the bond "uplink"
    port -- uplink.5 --------- br0        the nodes' own addresses in VLAN 5
    port -- uplink.8 --------- br0.8      a bridge for guests in VLAN 8

A VLAN names its parent by UUID, so that no profile depends on what the kernel calls a port.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from firstboot.configfile import ConfigFile
from firstboot.node import BRIDGE, Bridge, Identity
from firstboot.render.networkmanager.keyfile import (
    NO_ADDRESS,
    Sections,
    connection,
    connection_uuid,
    keyfile,
)

UPLINK = "uplink"  # the bond, where there are several ports; VLANs are called uplink.NUMBER
MIIMON_MS = 100  # how often a port's link is looked at


@dataclass(frozen=True)
class Bridged:
    """A bridge of the plan: `vlan` None on the untagged uplink, `address` None without one."""

    name: str
    vlan: Optional[int]
    address: Optional[str]


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """Every profile of the uplink."""
    own = (file for bridge in bridges(identity) for file in of_bridge(identity, bridge))
    return (*carriers(identity), *own)


def carriers(identity: Identity) -> tuple[ConfigFile, ...]:
    """The profiles that the others lie on: the ports', and their bond's."""
    return tuple(keyfile(sections) for sections in _carriers(identity))


def of_bridge(identity: Identity, bridge: Bridged) -> tuple[ConfigFile, ...]:
    """A bridge's own profiles: itself, and the VLAN that is in it."""
    vlan = () if bridge.vlan is None else (_vlan(identity, bridge.name, bridge.vlan),)
    return tuple(keyfile(sections) for sections in (_bridge(identity, bridge), *vlan))


def bridges(identity: Identity) -> tuple[Bridged, ...]:
    """The bridges of this node, br0 first."""
    own = Bridged(BRIDGE, identity.pair.uplink.vlan, identity.me.uplink.address)
    return (own, *(Bridged(b.name, b.vlan, _address(identity, b)) for b in identity.pair.bridges))


def touched(before: Identity, after: Identity) -> tuple[str, ...]:
    """Bridges of a running node that a change of plan takes down, for a moment or for good.

    One that is new, and all that stay as they are on ports that stay so, are not among them.
    """
    if carriers(before) != carriers(after):
        return tuple(bridge.name for bridge in bridges(before))
    kept = {bridge.name: of_bridge(after, bridge) for bridge in bridges(after)}
    return tuple(b.name for b in bridges(before) if of_bridge(before, b) != kept.get(b.name))


def connection_of(bridge: str) -> str:
    """The id of a bridge's profile."""
    return f"ks-{bridge}"


def carrier_connection(identity: Identity) -> str:
    """The id of the profile that the VLANs lie on: the bond's, or the one port's."""
    return f"ks-{UPLINK}" if len(identity.me.uplink.ports) > 1 else f"ks-{UPLINK}-port1"


def _address(identity: Identity, bridge: Bridge) -> Optional[str]:
    return bridge.addresses[0 if identity.first else 1] if bridge.addresses else None


def _carriers(identity: Identity) -> Iterator[Sections]:
    untagged = identity.pair.uplink.vlan is None
    into = {"master": BRIDGE, "slave_type": "bridge"} if untagged else {}
    if len(identity.me.uplink.ports) > 1:
        yield _bond(identity, into)
        into = {"master": UPLINK, "slave_type": "bond"}
    for number, mac in enumerate(identity.me.uplink.ports, start=1):
        yield _port(identity, number, mac, into)


def _bridge(identity: Identity, bridge: Bridged) -> Sections:
    mac = {}
    ipv4 = {"method": "disabled"}
    if bridge.address is not None:
        ipv4 = {"method": "manual", "address1": bridge.address, "may-fail": "false"}
    if bridge.name == BRIDGE:
        # Without one of its own, a bridge's MAC changes with the guests that come and go.
        mac = {"cloned-mac-address": identity.me.uplink.ports[0]}
        ipv4["address1"] += f",{identity.me.uplink.gateway}"
        if identity.me.uplink.dns:
            ipv4["dns"] = "".join(f"{server};" for server in identity.me.uplink.dns)
    elif bridge.address is not None:
        ipv4["never-default"] = "true"
    name = connection_of(bridge.name)
    return {
        "connection": connection(
            identity, name, "bridge", interface_name=bridge.name, autoconnect_slaves="1"
        ),
        "ethernet": {**mac, "mtu": _mtu(identity)},
        "bridge": {"stp": "false"},
        "ipv4": ipv4,
        "ipv6": {"method": "disabled"},
    }


def _vlan(identity: Identity, bridge: str, vlan: int) -> Sections:
    name, parent = f"{UPLINK}.{vlan}", carrier_connection(identity)
    return {
        "connection": connection(
            identity,
            f"ks-{name}",
            "vlan",
            interface_name=name,
            master=bridge,
            slave_type="bridge",
        ),
        "ethernet": {"mtu": _mtu(identity)},
        "vlan": {"id": str(vlan), "parent": connection_uuid(identity, parent)},
    }


def _bond(identity: Identity, into_bridge: dict[str, str]) -> Sections:
    return {
        "connection": connection(
            identity,
            f"ks-{UPLINK}",
            "bond",
            interface_name=UPLINK,
            autoconnect_slaves="1",
            **into_bridge,
        ),
        "ethernet": {"mtu": _mtu(identity)},
        "bond": {"mode": identity.pair.uplink.mode, "miimon": str(MIIMON_MS)},
        **({} if into_bridge else NO_ADDRESS),
    }


def _port(identity: Identity, number: int, mac: str, into: dict[str, str]) -> Sections:
    return {
        "connection": connection(identity, f"ks-{UPLINK}-port{number}", "ethernet", **into),
        "ethernet": {"mac-address": mac, "mtu": _mtu(identity)},
        **({} if into else NO_ADDRESS),
    }


def _mtu(identity: Identity) -> str:
    return str(identity.pair.uplink.mtu)
