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
    for i, node in enumerate(profile.node):
        for n, device in enumerate(node.fencing):
            path: KeyPath = ("node", i, "fencing", n)
            if device.agent == "custom" or device.password_file is not None:
                continue
            if not _in_band(profile):
                yield Problem(
                    "KS135",
                    path,
                    f"no account can be made for this {device.agent} device: give password_file",
                    f"put the password into a 0600 file on {node.name} itself, and its path here",
                )
            elif device.agent == "redfish":
                yield Problem(
                    "KS135",
                    path,
                    "the account is made over IPMI; whether this BMC lets it in over Redfish shows"
                    " on the nodes, which stop before they fire if it does not",
                    "password_file names a file on the node with the password of an account you"
                    " made",
                    severity=WARNING,
                )


def bmc_address(profile: Profile) -> Iterator[Problem]:
    """An address is set where there is a BMC to set it in, once, and makes sense there."""
    for i, node in enumerate(profile.node):
        setting = [n for n, device in enumerate(node.fencing) if device.set_address is not None]
        for n in setting:
            path: KeyPath = ("node", i, "fencing", n, "set_address")
            why = _not_settable(profile, node.fencing[n])
            if not why and n != setting[0]:
                why = f"{node.name} has one BMC, and its address is set already"
            if why:
                yield Problem("KS136", path, why)


def _not_settable(profile: Profile, device: FenceDevice) -> str:
    wanted = device.set_address
    if device.agent == "custom" or wanted is None:
        return "a custom device is no BMC of this node"
    if not _in_band(profile):
        return f"{profile.pair.platform} has no in-band IPMI"
    try:
        interface = ipaddress.IPv4Interface(f"{device.address}/{wanted.prefix}")
    except ValueError:
        return "address has to be an IPv4 address, not a name"
    hosts = interface.network.network_address, interface.network.broadcast_address
    if interface.ip in hosts:
        return f"{interface.ip} is the network's own or broadcast address"
    if wanted.gateway is not None:
        gateway = ipaddress.IPv4Address(wanted.gateway)
        if gateway not in interface.network or gateway in (*hosts, interface.ip):
            return f"the gateway is no other address in {interface.network}"
    return ""


def _in_band(profile: Profile) -> bool:
    return "inband-ipmi" in CAPABILITIES[profile.pair.platform]


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
    if not complete and profile.pair.platform == "el9":
        yield Problem(
            "KS144",
            ("install",),
            "no key is pinned: nobody checks who signed the packages",
            "give install.gpg_key and install.gpg_fingerprint, as `ksbuild init` does",
            severity=WARNING,
        )
    if complete and profile.install.gpg_key is None:
        yield Problem(
            "KS142",
            ("install",),
            "a repository's key is pinned, the distribution's own is not: every package must be"
            " signed by a pinned key, so the installation would stop at its end",
            "give install.gpg_key and install.gpg_fingerprint as well",
        )


def progress(profile: Profile) -> Iterator[Problem]:
    """A certificate only where the server shows one; without, everybody reads along."""
    url = profile.progress.url or ""
    if profile.progress.certificate is not None and not url.startswith("https:"):
        why = "there is no https url to use it for"
        yield Problem("KS137", ("progress", "certificate"), why)
    if url.startswith("http:"):
        yield Problem(
            "KS138",
            ("progress", "url"),
            "progress is told in clear text",
            "ksbuild serve --certificate, and https here",
            severity=WARNING,
        )


def thresholds(profile: Profile) -> Iterator[Problem]:
    """A file system is rather full before it is too full."""
    low, high = profile.monitoring.full_warning_percent, profile.monitoring.full_critical_percent
    if low >= high:
        yield Problem(
            "KS145",
            ("monitoring", "full_warning_percent"),
            f"{low} is not below full_critical_percent, {high}: it would never be a mere warning",
            f"give it less than {high}, or full_critical_percent more",
        )


def alerts(profile: Profile) -> Iterator[Problem]:
    """Mail needs all three of its keys, a webhook's file a place on the node."""
    told = profile.alerts
    keys = {"mail_to": told.mail_to, "mail_from": told.mail_from, "relay": told.relay}
    lacking = [key for key, value in keys.items() if not value]
    if 0 < len(lacking) < len(keys):
        yield Problem(
            "KS139",
            ("alerts",),
            f"no mail can be sent without {' and '.join(lacking)}",
            "mail_to, mail_from and relay go together",
        )
    if told.webhook_file is not None and not told.webhook_file.startswith("/"):
        yield Problem(
            "KS139",
            ("alerts", "webhook_file"),
            "is no absolute path: the file lies on each node, and holds the URL",
            'webhook_file = "/root/webhook", and the URL in that file, 0600, on both nodes',
        )


RULES = (fencing, password, bmc_address, second_level, source, progress, thresholds, alerts)
