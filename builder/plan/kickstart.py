"""One node's kickstart: rendered from the template, then read back by pykickstart's RHEL 9."""

import ipaddress
import warnings
from dataclasses import dataclass
from typing import Any

import jinja2
from pykickstart.errors import KickstartError as PykickstartError
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from builder.plan.disk import LINUX_RESERVED, os_partitions
from builder.plan.trust import Leaf
from builder.profile.model import NodeSection, Profile
from firstboot.node import Identity, partition_uuid

# What a node needs from the operating system for the steps the agent has today.
PACKAGES = ("@core", "NetworkManager", "chrony", "firewalld", "iproute", "openssl", "python3")


class KickstartError(Exception):
    """pykickstart, or a comparison with the model, rejects a rendered kickstart: a bug of ours."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What %post writes: the agent (base64), node.json, and this node's introduction."""

    agent: str
    node_json: str
    introduction: Leaf


def render(
    templates: jinja2.Environment,
    profile: Profile,
    node: NodeSection,
    identity: Identity,
    payload: Payload,
) -> str:
    """The kickstart's text. Raises KickstartError when the installer would not take it."""
    text = templates.get_template("node.ks.j2").render(
        profile=profile,
        node=node,
        identity=identity,
        uplink=ipaddress.IPv4Interface(node.uplink.address),
        partitions=os_partitions(profile.storage.os_gib),
        data_type=LINUX_RESERVED,
        partuuid=lambda name: partition_uuid(identity.pair.id, node.name, name),
        packages=sorted({*PACKAGES, *profile.install.packages}, key=lambda p: (p[0] != "@", p)),
        payload=payload,
    )
    _compare(parse(text), node)
    return text


def parse(text: str) -> Any:
    """The text as pykickstart's RHEL 9 handler understands it; a deprecated option is an error."""
    handler = makeVersion("RHEL9")
    # Files that %pre writes are not there yet; what stands in them is checked where it is written.
    parser = KickstartParser(handler, missingIncludeIsFatal=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            parser.readKickstartFromString(text)
        except (PykickstartError, UserWarning, DeprecationWarning) as error:
            raise KickstartError(f"pykickstart rejects the kickstart: {error}") from error
    return handler


def _compare(handler: Any, node: NodeSection) -> None:
    network = handler.network.network[0]
    meant = (node.name, node.uplink.ports[0], str(ipaddress.IPv4Interface(node.uplink.address).ip))
    if (network.hostname, network.device, network.ip) != meant:
        raise KickstartError(f"the kickstart's network line does not say {meant}")
    if len([script for script in handler.scripts if script.type == 0]) != 1:
        raise KickstartError("the kickstart has not exactly one %pre")
