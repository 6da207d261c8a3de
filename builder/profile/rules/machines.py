"""Rules about the two servers: names, ports, disks, who may log in."""

from collections.abc import Iterator

from builder.profile.model import Disk, Profile
from builder.profile.positions import KeyPath
from builder.profile.problems import Problem

_LEAST_DATA_GIB = 1
_TAKEN = {"ca": "the pair's CA", "link": "the key of its cables", "localhost": "every machine"}


def names(profile: Profile) -> Iterator[Problem]:
    """The nodes' names differ, also as boot loaders take them."""
    first, second = (node.name for node in profile.node)
    if first.replace(".", "-") == second.replace(".", "-"):
        yield Problem("KS110", ("node", 1, "name"), "both nodes have this name")
    for i, node in enumerate(profile.node):
        if whose := _TAKEN.get(node.name):
            yield Problem("KS127", ("node", i, "name"), f"{node.name} is the name of {whose}")


def serials(profile: Profile) -> Iterator[Problem]:
    """The servers can be told apart."""
    first, second = (node.serial for node in profile.node)
    if first is not None and first == second:
        yield Problem("KS121", ("node", 1, "serial"), "both nodes have this serial number")


def macs(profile: Profile) -> Iterator[Problem]:
    """Every MAC stands once."""
    seen: dict[str, KeyPath] = {}
    for i, node in enumerate(profile.node):
        for kind, ports in (("uplink", node.uplink.ports), ("crossover", node.crossover.ports)):
            for n, mac in enumerate(ports):
                path: KeyPath = ("node", i, kind, "ports", n)
                if mac in seen:
                    first = Problem("", seen[mac], "").key
                    yield Problem("KS111", path, f"the MAC {mac} stands at {first} already")
                seen.setdefault(mac, path)


def disks(profile: Profile) -> Iterator[Problem]:
    """Each disk is described, and has room."""
    for i, node in enumerate(profile.node):
        disk = node.disk
        if not any((disk.serial, disk.wwn, disk.path, disk.size_gib)):
            yield Problem(
                "KS117",
                ("node", i, "disk"),
                "says nothing about the disk",
                "give serial, wwn, path or size_gib; lsblk -o NAME,SIZE,SERIAL,WWN shows them",
            )
        if disk.size_gib is not None:
            yield from _sizes(profile, ("node", i, "disk", "size_gib"), disk.size_gib)
    yield from _same_disk(*(node.disk for node in profile.node))


def _sizes(profile: Profile, path: KeyPath, size_gib: list[int]) -> Iterator[Problem]:
    smallest, largest = size_gib
    needed = profile.storage.os_gib + _LEAST_DATA_GIB + 1
    if smallest > largest:
        yield Problem("KS118", path, "the smallest size is above the largest")
    if smallest < needed:
        yield Problem(
            "KS119",
            path,
            f"a disk of {smallest} GiB has no room for {profile.storage.os_gib} GiB of operating"
            f" system and {_LEAST_DATA_GIB} GiB of data: at least {needed}",
        )


def _same_disk(first: Disk, second: Disk) -> Iterator[Problem]:
    for key in ("serial", "wwn"):
        value = getattr(second, key)
        if value is not None and getattr(first, key) == value:
            yield Problem(
                "KS122",
                ("node", 1, "disk", key),
                "the first node's disk has it, too: two servers do not share one",
            )


def raid(profile: Profile) -> Iterator[Problem]:
    """Data disks mean nothing without the strip."""
    if profile.storage.raid_data_disks > 1 and profile.storage.raid_strip_kib is None:
        yield Problem(
            "KS123",
            ("storage", "raid_data_disks"),
            "has no effect without storage.raid_strip_kib",
            "give the strip size, or leave this out where the controller tells its I/O sizes",
        )


def access(profile: Profile) -> Iterator[Problem]:
    """Somebody can log in."""
    ways = [profile.access.ssh_keys, profile.access.root_password_hash]
    ways += [user.ssh_keys or user.password_hash for user in profile.access.users]
    if not any(ways):
        yield Problem(
            "KS120",
            ("access",),
            "nobody could log in to these nodes",
            "give access.ssh_keys, access.root_password_hash or access.users",
        )
    seen = {"root"}
    for i, user in enumerate(profile.access.users):
        if user.name in seen:
            yield Problem("KS124", ("access", "users", i, "name"), "this user exists already")
        seen.add(user.name)


RULES = (names, serials, macs, disks, raid, access)
