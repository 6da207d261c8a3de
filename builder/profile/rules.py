"""Rules across the profile, one function each; every one may find several problems."""

import ipaddress
from collections.abc import Iterator

from builder.profile.model import Profile
from builder.profile.positions import KeyPath
from builder.profile.problems import Problem


def check(profile: Profile) -> Iterator[Problem]:
    """Every problem that no single key shows."""
    for rule in (_names, _macs, _crossover, _uplinks, _disks, _access):
        yield from rule(profile)


def _names(profile: Profile) -> Iterator[Problem]:
    if profile.node[0].name == profile.node[1].name:
        yield Problem("KS110", ("node", 1, "name"), "both nodes have this name")


def _macs(profile: Profile) -> Iterator[Problem]:
    seen: dict[str, KeyPath] = {}
    for i, node in enumerate(profile.node):
        places: list[tuple[KeyPath, str]] = [(("node", i, "uplink", "port"), node.uplink.port)]
        places += [
            (("node", i, "crossover", "ports", n), m) for n, m in enumerate(node.crossover.ports)
        ]
        for path, mac in places:
            if mac in seen:
                first = Problem("", seen[mac], "").key
                yield Problem("KS111", path, f"the MAC {mac} stands at {first} already")
            seen.setdefault(mac, path)


def _crossover(profile: Profile) -> Iterator[Problem]:
    first, second = (ipaddress.IPv4Interface(node.crossover.address) for node in profile.node)
    path: KeyPath = ("node", 1, "crossover", "address")
    if first.network != second.network:
        yield Problem("KS112", path, f"not in the first node's network {first.network}")
    elif first.ip == second.ip:
        yield Problem("KS113", path, "both nodes have this address")
    if len(profile.node[0].crossover.ports) != len(profile.node[1].crossover.ports):
        yield Problem(
            "KS114",
            ("node", 1, "crossover", "ports"),
            "the nodes do not have as many crossover ports as each other",
            "one cable joins one port of each node",
        )


def _uplinks(profile: Profile) -> Iterator[Problem]:
    crossover = ipaddress.IPv4Interface(profile.node[0].crossover.address).network
    addresses = set()
    for i, node in enumerate(profile.node):
        uplink = ipaddress.IPv4Interface(node.uplink.address)
        path: KeyPath = ("node", i, "uplink", "address")
        if uplink.network.overlaps(crossover):
            yield Problem("KS115", path, f"overlaps the crossover network {crossover}")
        if uplink.ip in addresses:
            yield Problem("KS113", path, "both nodes have this address")
        addresses.add(uplink.ip)
        if ipaddress.IPv4Address(node.uplink.gateway) not in uplink.network:
            yield Problem(
                "KS116", ("node", i, "uplink", "gateway"), f"not in the network {uplink.network}"
            )


def _disks(profile: Profile) -> Iterator[Problem]:
    for i, node in enumerate(profile.node):
        disk = node.disk
        if not any((disk.serial, disk.wwn, disk.path, disk.size_gib)):
            yield Problem(
                "KS117",
                ("node", i, "disk"),
                "says nothing about the disk",
                "give serial, wwn, path or size_gib; lsblk -o NAME,SIZE,SERIAL,WWN shows them",
            )
        if disk.size_gib is None:
            continue
        smallest, largest = disk.size_gib
        path: KeyPath = ("node", i, "disk", "size_gib")
        if smallest > largest:
            yield Problem("KS118", path, "the smallest size is above the largest")
        if smallest < profile.storage.os_gib + 2:
            yield Problem(
                "KS119",
                path,
                f"a disk of {smallest} GiB has no room for {profile.storage.os_gib} GiB of"
                " operating system and a data partition",
            )


def _access(profile: Profile) -> Iterator[Problem]:
    if not profile.access.ssh_keys and profile.access.root_password_hash is None:
        yield Problem(
            "KS120",
            ("access",),
            "nobody could log in to these nodes",
            "give access.ssh_keys, or access.root_password_hash",
        )
