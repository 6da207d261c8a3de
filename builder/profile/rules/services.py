"""Rules about what runs on the pair: fencing, repositories."""

import ipaddress
import re
from collections.abc import Iterator

from builder.profile.model import Install, NodeSection, Profile, Repository
from builder.profile.positions import KeyPath
from builder.profile.problems import WARNING, Problem
from builder.profile.services import FenceDevice
from firstboot.node import CAPABILITIES, FENCE_COMMAND


def fencing(profile: Profile) -> Iterator[Problem]:
    """Each node's power can be cut by the other, by a device that is complete and its own."""
    if profile.pair.platform != "el9":
        return
    seen: dict[str, int] = {}
    for i, node in enumerate(profile.node):
        if not node.fencing:
            yield Problem(
                "KS130",
                ("node", i),
                f"no fence device for {node.name}: GFS2 on both nodes is refused without one",
                f"add [[node.fencing]] with agent and address of {node.name}'s BMC",
            )
        for n, device in enumerate(node.fencing):
            yield from _device(profile, ("node", i, "fencing", n), device)
            if device.address is not None and device.agent != "custom":
                if seen.get(device.address, i) != i:
                    path: KeyPath = ("node", i, "fencing", n, "address")
                    yield Problem("KS132", path, "the other node's BMC has this address")
                seen[device.address] = i


def _device(profile: Profile, path: KeyPath, device: FenceDevice) -> Iterator[Problem]:
    needed = "command" if device.agent == "custom" else "address"
    if getattr(device, needed) is None:
        yield Problem("KS131", path, f"a {device.agent} device needs {needed}")
    if (
        device.agent == "custom"
        and device.command
        and not re.fullmatch(FENCE_COMMAND, device.command)
    ):
        yield Problem(
            "KS131",
            (*path, "command"),
            "pacemaker runs fence agents from /usr/sbin alone",
            "put it there on both nodes, as /usr/sbin/fence_ and a name of a-z, 0-9 and _",
        )
    try:
        address = ipaddress.IPv4Address(device.address or "")
    except ValueError:
        return  # a host name, or none
    crossover = ipaddress.IPv4Interface(profile.node[0].crossover.address).network
    if address in crossover:
        yield Problem(
            "KS133",
            (*path, "address"),
            "lies in the crossover network: a BMC is reached over the uplink",
        )
    if address in {ipaddress.IPv4Interface(node.uplink.address).ip for node in profile.node}:
        yield Problem("KS133", (*path, "address"), "is a node's own address, not a BMC's")


def password(profile: Profile) -> Iterator[Problem]:
    """The pair makes an account where ipmitool can in-band; elsewhere a human gives a password."""
    in_band = "inband-ipmi" in CAPABILITIES[profile.pair.platform]
    for i, node in enumerate(profile.node):
        for n, device in enumerate(node.fencing):
            made = device.agent == "custom" or (in_band and device.agent != "redfish")
            if not made and device.password_file is None:
                yield Problem(
                    "KS135",
                    ("node", i, "fencing", n),
                    f"no account can be made for this {device.agent} device: give password_file",
                    f"put the password into a 0600 file on {node.name} itself, and its path here",
                )


def second_level(profile: Profile) -> Iterator[Problem]:
    """A BMC dies with its server's power, and then only a second level goes on."""
    for i, node in enumerate(profile.node):
        if node.fencing and not _survives_power_loss(node):
            yield Problem(
                "KS134",
                ("node", i, "fencing"),
                f"only one level: when {node.name} loses all power its BMC dies with it, and the"
                " other node stops writing until a human confirms that it is off",
                "add a second level, such as a switched PDU with agent = custom",
                severity=WARNING,
            )


def _survives_power_loss(node: NodeSection) -> bool:
    return len({device.level for device in node.fencing}) > 1


def source(profile: Profile) -> Iterator[Problem]:
    """Repositories have names of their own, and keys are pinned everywhere or nowhere."""
    names = {"distribution"}  # what the key of install itself is filed under
    pinned: list[tuple[KeyPath, Install | Repository]] = [(("install",), profile.install)]
    for i, repository in enumerate(profile.install.repositories):
        path: KeyPath = ("install", "repositories", i)
        if repository.name in names:
            yield Problem("KS140", (*path, "name"), f"{repository.name} is there already")
        names.add(repository.name)
        pinned.append((path, repository))
        if repository.url is None and profile.install.registration_file is None:
            yield Problem(
                "KS143",
                path,
                f"{repository.name} has no url, and only a registration brings one without",
                "give url, or install.registration_file",
            )
    for path, place in pinned:
        if (place.gpg_key is None) != (place.gpg_fingerprint is None):
            yield Problem(
                "KS141",
                path,
                "gpg_key and gpg_fingerprint go together",
                "gpg --show-keys FILE shows the fingerprint; compare it with the publisher's",
            )
    complete = [path for path, place in pinned if place.gpg_key and place.gpg_fingerprint]
    if complete and profile.install.gpg_key is None:
        yield Problem(
            "KS142",
            ("install",),
            "a repository's key is pinned, the distribution's own is not: every package must be"
            " signed by a pinned key, so the installation would stop at its end",
            "give install.gpg_key and install.gpg_fingerprint as well",
        )


RULES = (fencing, password, second_level, source)
