"""A checked profile -> everything that will be on the medium. Pure: no files, clock or network."""

import base64
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jinja2

from builder.plan import bootmenu, kickstart, manifest
from builder.plan.bootmenu import Medium
from builder.plan.pair import pair
from builder.plan.tokens import Progress
from builder.plan.trust import Introduction
from builder.profile.model import NodeSection, Profile
from firstboot.node import SCHEMA, Identity, Pair, plan_digest, to_json
from firstboot.render import render as render_node


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen: the pair, its digest, and the kickstarts.

    `kickstarts` has one per node that is introduced; `either` serves them all on a medium ("" where
    each node is served its own), and `describe` installs nothing.
    """

    profile: Profile
    pair: Pair
    kickstarts: dict[str, str]
    either: str
    describe: str

    @property
    def digest(self) -> str:
        """The plan digest, which both nodes compare when they meet."""
        return plan_digest(self.pair)


def plan(
    profile: Profile,
    introduction: Introduction,
    agent: bytes,
    templates: jinja2.Environment,
    *,
    keys: tuple[kickstart.Key, ...] = (),
    registration: kickstart.Registration | None = None,
    extras: str = "",
    dvd: bool = False,
    network: bool = True,
    served: str = "",
    progress: Progress | None = None,
) -> Plan:
    """Render the nodes' kickstarts. Raises KickstartError when pykickstart rejects one.

    `extras` is the folder on the medium with further packages. With `dvd` the installation tree is
    on it, too, and without `network` all packages are: what the profile says of other places for
    them is left out. `served` is the address of the tree that takes the medium's place in a network
    boot. With `progress` the nodes tell how far they are.
    """
    if dvd or not network:
        profile = kickstart.from_dvd(profile, network=network, served=served)
    both = pair(profile)
    blob = _encoded(agent)
    introduced = [node for node in profile.node if node.name in introduction.leaves]
    nodes = {
        node.name: kickstart.NodePayload(
            to_json(Identity(SCHEMA, node.name, both, profile.pair.description or "")),
            introduction.of(node.name),
        )
        for node in introduced
    }
    payload = kickstart.Payload(blob, nodes, keys, registration, progress)

    def render(*sections: NodeSection) -> str:
        return kickstart.render(
            templates, profile, sections, both, payload, extras=extras, served=served
        )

    return Plan(
        profile,
        both,
        {node.name: render(node) for node in introduced},
        "" if served else render(*introduced),
        kickstart.describe(templates, profile),
    )


@functools.cache
def _encoded(agent: bytes) -> str:
    return base64.encodebytes(agent).decode("ascii").rstrip("\n")


def tree(
    plan: Plan,
    medium: Medium,
    templates: jinja2.Environment,
    *,
    extras: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Path -> bytes of all that ksbuild puts on a medium; every kind of medium comes from it.

    A medium for one node holds nothing of the other's introduction: ks.cfg is that node's own. Over
    the network there is none: each server is told its own kickstart's name, by its MAC. Packages
    are not in it; `extras` is what the manifest says of them.
    """
    own = {name: text for name, text in plan.kickstarts.items() if medium.installs(name)}
    files = {f"{name}.ks": text for name, text in own.items()}
    if medium.served is None:
        files |= {"ks.cfg": plan.either if medium.node is None else own[medium.node]}
    files |= {"describe.cfg": plan.describe}
    files |= bootmenu.render(templates, plan.profile, medium) if medium.menus else {}
    encoded = {path: text.encode() for path, text in sorted(files.items())}
    return {**encoded, manifest.PATH: manifest.render(plan.pair, medium, encoded, extras)}


def node_files(plan: Plan) -> dict[str, str]:
    """nodes/NAME/PATH -> text of every configuration file the agents will keep."""
    return {
        f"nodes/{node.name}{file.path}": file.text
        for node in plan.pair.nodes
        for file in render_node(Identity(SCHEMA, node.name, plan.pair))
    }
