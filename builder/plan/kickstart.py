"""Kickstarts: rendered from one template, then read back by pykickstart's RHEL 9."""

import ipaddress
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jinja2
from pykickstart.errors import KickstartError as PykickstartError
from pykickstart.handlers.control import commandMap, dataMap
from pykickstart.parser import KickstartParser
from pykickstart.version import RHEL9, returnClassForVersion

from builder.errors import KickstartError
from builder.plan.bootmenu import installed_mark
from builder.plan.disk import LINUX_RESERVED, UNFINISHED, os_partitions
from builder.plan.packages import packages
from builder.plan.trust import Leaf
from builder.profile.model import NodeSection, Profile, Repository
from firstboot.node import Pair, partition_uuid

# What the distribution's own key is called, beside the repositories'.
DISTRIBUTION = "distribution"

# Where Anaconda has the medium that inst.stage2= names, be it a disc or a stick.
MEDIUM_TREE = "file:///run/install/repo"


@dataclass(frozen=True, slots=True, repr=False)
class NodePayload:
    """What %post writes for one node: node.json, and its introduction."""

    node_json: str
    introduction: Leaf


@dataclass(frozen=True, slots=True)
class Key:
    """A file of public keys that packages are signed with: `text` is its ASCII armour."""

    name: str
    fingerprints: tuple[str, ...]
    text: str

    @property
    def key_ids(self) -> list[str]:
        """What rpm shows of a signature: the fingerprint's last 16 digits."""
        return [fingerprint[-16:].lower() for fingerprint in self.fingerprints]

    @property
    def file(self) -> str:
        """Its name in /etc/pki/rpm-gpg of a node."""
        return f"RPM-GPG-KEY-ksbuild-{self.name}"


@dataclass(frozen=True, slots=True, repr=False)
class Registration:
    """How Red Hat knows a subscriber."""

    organization: str
    activation_key: str


@dataclass(frozen=True, slots=True, repr=False)
class Payload:
    """What %post writes: the agent (base64), each node's part by name, and keys of packages.

    With any `keys` every installed package must be signed by one of them.
    """

    agent: str
    nodes: Mapping[str, NodePayload]
    keys: tuple[Key, ...] = ()
    registration: Registration | None = None


def render(
    templates: jinja2.Environment,
    profile: Profile,
    nodes: Sequence[NodeSection],
    pair: Pair,
    payload: Payload,
    *,
    extras: str = "",
) -> str:
    """The kickstart for whichever of `nodes` it is started on.

    `extras` is the folder on the medium with further packages, if there is one. Raises
    KickstartError when the installer would not take it.
    """
    text = templates.get_template("node.ks.j2").render(
        profile=profile,
        nodes=nodes,
        pair=pair,
        peer=lambda node: pair.peer_of(node.name),
        address=lambda node: ipaddress.IPv4Interface(node.uplink.address),
        partitions=os_partitions(profile.storage.os_gib),
        data_type=LINUX_RESERVED,
        unfinished=UNFINISHED,
        mark=installed_mark(profile),
        partuuid=lambda node, name: partition_uuid(pair.id, node.name, name),
        # The first three fields of a GUID are little endian in a GPT (UEFI 2.10, appendix A).
        gpt_bytes=lambda node, name: UUID(partition_uuid(pair.id, node.name, name)).bytes_le.hex(),
        packages=packages(profile),
        languages=languages(profile.install.language),
        medium_tree=MEDIUM_TREE,
        web_repositories=web_repositories(profile),
        subscribed=subscribed(profile),
        keys_of=lambda repository: keys_of(repository, payload.keys),
        payload=payload,
        extras=extras,
    )
    handler = parse(text)
    _compare(handler, text, nodes)
    _compare_repositories(handler, profile, extras)
    return text


def describe(templates: jinja2.Environment, profile: Profile) -> str:
    """The kickstart that describes a server and installs nothing."""
    text = templates.get_template("describe.ks.j2").render(profile=profile)
    parse(text)
    return text


def languages(locale: str) -> str:
    """The locale as rpm's %_install_langs has it, which takes de_DE for de and de_DE."""
    return re.split(r"[.@]", locale)[0]


def from_dvd(profile: Profile, *, network: bool) -> Profile:
    """The profile for a medium that brings its own tree: install.url is for those without.

    Without `network` the medium has all packages, and nothing else is asked for any.
    """
    repositories = profile.install.repositories if network else []
    install = profile.install.model_copy(update={"url": None, "repositories": repositories})
    return profile.model_copy(update={"install": install})


def web_repositories(profile: Profile) -> list[str]:
    """Addresses of the installation's package repositories that are reached over the network."""
    install = profile.install
    urls = [install.url, *(repository.url for repository in install.repositories)]
    return [url for url in urls if url is not None and url.startswith("http")]


def subscribed(profile: Profile) -> list[str]:
    """Ids of the repositories that only a registered system reaches."""
    return [each.name for each in profile.install.repositories if each.url is None]


def keys_of(repository: Repository, keys: Sequence[Key]) -> list[Key]:
    """The pinned keys that sign a repository: its own, else the distribution's, or none."""
    return [key for name in (repository.name, DISTRIBUTION) for key in keys if key.name == name][:1]


def parse(text: str) -> Any:
    """The text as pykickstart's RHEL 9 handler understands it; a deprecated option is an error."""
    return _parse(text, returnClassForVersion(RHEL9)())


def _parse_network(text: str) -> list[Any]:
    """The same for network lines alone, by a handler that takes a tenth of the time to make."""
    handler = returnClassForVersion(RHEL9)(
        mapping={"network": commandMap[RHEL9]["network"]},
        dataMapping={"NetworkData": dataMap[RHEL9]["NetworkData"]},
    )
    return list(_parse(text, handler).network.network)


def _parse(text: str, handler: Any) -> Any:
    # Files that %pre writes are not there yet; what stands in them is checked where it is written.
    parser = KickstartParser(handler, missingIncludeIsFatal=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            parser.readKickstartFromString(text)
        except (PykickstartError, UserWarning, DeprecationWarning) as error:
            raise KickstartError(f"pykickstart rejects the kickstart: {error}") from error
    return handler


def _compare(handler: Any, text: str, nodes: Sequence[NodeSection]) -> None:
    """Each node's network line says what its profile says, be it in the file or in %pre."""
    written = re.findall(r"^network .*|(?<=line=')network [^']*", text, re.MULTILINE)
    for network, node in zip(_parse_network("\n".join(written)), nodes, strict=True):
        address = str(ipaddress.IPv4Interface(node.uplink.address).ip)
        meant = (node.name, node.uplink.ports[0], address)
        if (network.hostname, network.device, network.ip) != meant:
            raise KickstartError(f"the kickstart's network line does not say {meant}")
    if len([script for script in handler.scripts if script.type == 0]) != 1:
        raise KickstartError("the kickstart has not exactly one %pre")


def _compare_repositories(handler: Any, profile: Profile, extras: str) -> None:
    """Anaconda is told of each repository, where it is, and of no other."""
    meant = {repository.name: repository.url or "" for repository in profile.install.repositories}
    if extras:
        meant[extras] = f"{MEDIUM_TREE}/{extras}"
    if {repo.name: repo.baseurl for repo in handler.repo.repoList} != meant:
        raise KickstartError(f"the kickstart's repositories are not {meant}")
