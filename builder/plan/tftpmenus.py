"""The menus that `ksbuild serve` gives a node by TFTP: to install it, and to start its disk."""

from collections.abc import Mapping
from dataclasses import dataclass

import jinja2

from builder.plan import bootmenu, netboot
from builder.plan.bootanswer import Images, cmdline
from builder.plan.bootmenu import Entry, Medium
from builder.profile.model import NodeSection, Profile

TOKEN = "KSBUILD_TOKEN"  # noqa: S105 - stands where the kickstart's own goes once it is known
_LOCAL_S = 3


@dataclass(frozen=True, slots=True)
class NodeMenus:
    """One node's, each path in the TFTP server's folder -> text.

    `again` installs a node that is there already; TOKEN stands in both that install.
    """

    install: Mapping[str, str]
    again: Mapping[str, str]
    local: Mapping[str, str]


def node_menus(
    profile: Profile,
    node: NodeSection,
    site: netboot.Site,
    images: Images,
    templates: jinja2.Environment,
) -> NodeMenus:
    """The node's menus, in the language of every loader that looks for one by MAC."""
    medium = Medium(
        volume_id=netboot.LABEL,
        demonstration=site.demonstration,
        grub_linux="linux",
        grub_initrd="initrd",
        stage2=True,
        dvd=False,
        menus=False,
        served=netboot.served(site.url, profile.pair.name),
    )

    def rendered(entries: list[Entry], default: str, **more: int) -> dict[str, str]:
        values = {**bootmenu.menu(profile, medium, entries, default), **more}
        return _files(node, site, values, templates)

    def installing(*, again: bool) -> dict[str, str]:
        line = cmdline(profile, node, f"{site.url}/ks/{TOKEN}", images.stage2, again=again)
        name = bootmenu.label(node.name)
        return rendered([Entry(name, f"Install {node.name}", line)], name)

    return NodeMenus(
        installing(again=False),
        installing(again=True),
        rendered([], bootmenu.LOCAL, timeout_s=_LOCAL_S),
    )


def _files(
    node: NodeSection,
    site: netboot.Site,
    values: Mapping[str, object],
    templates: jinja2.Environment,
) -> dict[str, str]:
    grub = templates.get_template("boot/grub.cfg.j2").render(
        {**values, "images": f"/{netboot.IMAGES}"}
    )
    syslinux = templates.get_template("boot/isolinux.cfg.j2").render(
        {**values, "images": netboot.IMAGES}
    )
    found = {}
    for mac in map(netboot.dashed, node.uplink.ports):
        found[f"EFI/BOOT/grub.cfg-01-{mac}"] = grub
        if site.pxelinux:
            found[f"pxelinux.cfg/01-{mac}"] = syslinux
    return found
