"""Rules about networks: addresses, VLANs, bridges."""

import ipaddress
from collections.abc import Iterator

from builder.profile.model import Profile
from builder.profile.positions import KeyPath
from builder.profile.problems import Problem

_TAKEN = {"br0", "bond0", "uplink", "lo", "ksup1", "ksup2"}  # the last two: a tagged uplink's ports


def crossover(profile: Profile) -> Iterator[Problem]:
    """Both ends lie in one network, with as many ports as each other."""
    first, second = (ipaddress.IPv4Interface(node.crossover.address) for node in profile.node)
    path: KeyPath = ("node", 1, "crossover", "address")
    if first.network != second.network:
        yield Problem("KS112", path, f"not in the first node's network {first.network}")
    elif first.ip == second.ip:
        yield Problem("KS113", path, "both nodes have this address")
    ports = [len(node.crossover.ports) for node in profile.node]
    if all(ports) and ports[0] != ports[1]:  # none: the agent finds them
        yield Problem(
            "KS114",
            ("node", 1, "crossover", "ports"),
            "the nodes do not have as many crossover ports as each other",
            "one cable joins one port of each node",
        )


def uplinks(profile: Profile) -> Iterator[Problem]:
    """Both nodes are in one local network, each with a way out of it."""
    interfaces = [ipaddress.IPv4Interface(node.uplink.address) for node in profile.node]
    if interfaces[0].network != interfaces[1].network:
        path: KeyPath = ("node", 1, "uplink", "address")
        yield Problem("KS112", path, f"not in the first node's network {interfaces[0].network}")
    elif interfaces[0].ip == interfaces[1].ip:
        yield Problem("KS113", ("node", 1, "uplink", "address"), "both nodes have this address")
    for i, (node, interface) in enumerate(zip(profile.node, interfaces, strict=True)):
        gateway = ipaddress.IPv4Address(node.uplink.gateway)
        path = ("node", i, "uplink", "gateway")
        if gateway not in interface.network:
            yield Problem("KS116", path, f"not in the network {interface.network}")
        elif gateway in {other.ip for other in interfaces}:
            yield Problem("KS113", path, "a node has this address itself")


def overlaps(profile: Profile) -> Iterator[Problem]:
    """No two networks overlap: uplink, crossover, each bridge's."""
    used: list[tuple[str, ipaddress.IPv4Network]] = []
    for path, address in _addresses(profile):
        network = ipaddress.IPv4Interface(address).network
        for other, existing in used:
            if network.overlaps(existing):
                yield Problem("KS115", path, f"overlaps {existing}, the network of {other}")
        used.append((Problem("", path, "").key, network))


def _addresses(profile: Profile) -> Iterator[tuple[KeyPath, str]]:
    yield ("node", 0, "crossover", "address"), profile.node[0].crossover.address
    yield ("node", 0, "uplink", "address"), profile.node[0].uplink.address
    for i, bridge in enumerate(profile.bridge):
        if bridge.addresses is not None:
            yield ("bridge", i, "addresses", 0), bridge.addresses[0]


def bridges(profile: Profile) -> Iterator[Problem]:
    """Names and VLANs are each used once; addresses pair up."""
    names, vlans = set(_TAKEN), {profile.uplink.vlan}
    for i, bridge in enumerate(profile.bridge):
        if bridge.name in names or bridge.name.startswith("uplink."):  # the VLANs' own names
            yield Problem("KS125", ("bridge", i, "name"), f"{bridge.name} is taken already")
        if bridge.vlan in vlans:
            yield Problem("KS126", ("bridge", i, "vlan"), f"VLAN {bridge.vlan} is in use already")
        names.add(bridge.name)
        vlans.add(bridge.vlan)
        if bridge.addresses is not None:
            yield from _ends(("bridge", i, "addresses", 1), bridge.addresses)


def _ends(path: KeyPath, addresses: list[str]) -> Iterator[Problem]:
    first, second = (ipaddress.IPv4Interface(address) for address in addresses)
    if first.network != second.network:
        yield Problem("KS112", path, f"not in the first node's network {first.network}")
    elif first.ip == second.ip:
        yield Problem("KS113", path, "both nodes have this address")


RULES = (crossover, uplinks, overlaps, bridges)
