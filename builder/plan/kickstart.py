"""Kickstarts: rendered from one template, then read back by pykickstart's RHEL 9."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import jinja2

from builder.plan import readback
from builder.plan.bootmenu import installed_mark
from builder.plan.disk import LINUX_RESERVED, UNFINISHED, os_partitions
from builder.plan.packages import packages
from builder.plan.tokens import Progress
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
    progress: Progress | None = None


def render(
    templates: jinja2.Environment,
    profile: Profile,
    nodes: Sequence[NodeSection],
    pair: Pair,
    payload: Payload,
    *,
    extras: str = "",
    served: str = "",
) -> str:
    """The kickstart for whichever of `nodes` it is started on.

    `extras` is the folder on the medium with further packages, if there is one, and `served` the
    address of the tree that takes a medium's place. Raises KickstartError when the installer would
    not take it.
    """
    wanted, tree = packages(profile), served or MEDIUM_TREE
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
        packages=wanted,
        languages=languages(profile.install.language),
        medium_tree=tree,
        served=served,
        # What the kickstart itself came from answers.
        web_repositories=[url for url in web_repositories(profile) if url != served],
        subscribed=subscribed(profile),
        keys_of=lambda repository: keys_of(repository, payload.keys),
        payload=payload,
        progress=payload.progress,
        extras=extras,
    )
    repositories = {each.name: each.url or "" for each in profile.install.repositories}
    repositories |= {extras: f"{tree}/{extras}"} if extras else {}
    readback.check(text, profile, nodes, set(wanted), repositories)
    return text


def describe(templates: jinja2.Environment, profile: Profile) -> str:
    """The kickstart that describes a server and installs nothing."""
    text = templates.get_template("describe.ks.j2").render(profile=profile, progress=None)
    readback.accept(text)
    return text


def languages(locale: str) -> str:
    """The locale as rpm's %_install_langs has it, which takes de_DE for de and de_DE."""
    return re.split(r"[.@]", locale)[0]


def from_dvd(profile: Profile, *, network: bool, served: str = "") -> Profile:
    """The profile for a medium that brings its own tree: install.url is for those without.

    Without `network` the medium has all packages, and nothing else is asked for any. The tree's
    address takes the place of install.url where it is `served`.
    """
    repositories = profile.install.repositories if network else []
    update = {"url": served or None, "repositories": repositories}
    install = profile.install.model_copy(update=update)
    return profile.model_copy(update={"install": install})


def from_tree(profile: Profile, url: str) -> Profile:
    """The profile for servers that get the installation tree from `url` instead of a DVD."""
    install = profile.install.model_copy(update={"url": url})
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
