"""What a tree for network boot has besides the source's files: menus by MAC, and who serves it.

Pure, so that a folder and a server can be made of the same: path -> bytes. Two folders are served.
`tftp/` is the root of a TFTP server: loaders, menus, kernel and initrd, nothing of it secret.
`http/` is what lies at the tree's address: the same, the installer's image and the packages, and
in `pairs/NAME/` the kickstarts, which are for that pair's nodes alone.

Who asks for what: PXELINUX for pxelinux.cfg/01-MAC, then pxelinux.cfg/default (syslinux,
doc/pxelinux.txt); GRUB, over TFTP, for grub.cfg-01-MAC, then grub.cfg, beside itself
(grub-core/normal/main.c and net/net.c of 2.06). Over HTTP it looks for grub.cfg alone, which
therefore knows which node has which port. iPXE is sent to boot.ipxe, which asks for ipxe/MAC.ipxe.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jinja2

from builder.plan import Plan, bootmenu, tree
from builder.plan.bootmenu import Medium, Served
from builder.profile.model import NodeSection, Profile

HTTP, TFTP = "http", "tftp"
DNSMASQ, NGINX = "dnsmasq.conf", "nginx.conf"
PXELINUX = "pxelinux.0"
IMAGES = "images/pxeboot"
EFI_LOADER = "EFI/BOOT/BOOTX64.EFI"
LABEL = "KSBUILD-PXE"
REFUSAL_S = 20
# What a path in http/ begins with that names a MAC -> what those get who have no menu there.
REFUSALS = {"EFI/BOOT/grub.cfg-01-": "EFI/BOOT/grub.cfg-refused", "ipxe/": "refused.ipxe"}


@dataclass(frozen=True, slots=True)
class Site:
    """The whole tree: `url` is where its `http/` is reached, `folder` where it lies.

    `pool` are the first and the last address for servers that are no node's, where the tree's
    dnsmasq is the network's only DHCP server; without, it stands beside another one. `pxelinux`
    tells that there is a loader for BIOS. dnsmasq listens on the IPv4 address `listen`, without it
    on the one in `url`, if that has one.
    """

    url: str
    folder: str
    demonstration: bool
    pxelinux: bool
    pool: tuple[str, str] | None = None
    listen: str = ""

    @property
    def base(self) -> str:
        """The path of the address: "" or "/ksbuild"."""
        return self._parts[2]

    @property
    def host(self) -> str:
        """The server's name or address."""
        return self._parts[0]

    @property
    def port(self) -> int:
        """The server's TCP port."""
        return int(self._parts[1] or 80)

    @property
    def _parts(self) -> tuple[str, str, str]:
        (parts,) = re.findall(r"^http://([^:/]+):?(\d*)(.*)$", self.url)
        host, port, path = parts
        return host, port, path


@dataclass(frozen=True, slots=True)
class Host:
    """A node as DHCP, TFTP and HTTP servers know it: `macs` are its uplink's, in lower case."""

    pair: str
    name: str
    macs: tuple[str, ...]
    address: str
    network: str
    netmask: str
    gateway: str
    dns: tuple[str, ...]
    tagged: bool


def served(url: str, pair: str) -> Served:
    """Where a pair's part of the tree is reached."""
    return Served(url, f"{url}/pairs/{pair}")


def hosts(profile: Profile, medium: Medium) -> list[Host]:
    """Those of the pair's nodes that the tree installs."""
    return [host(profile, node) for node in profile.node if medium.installs(node.name)]


def host(profile: Profile, node: NodeSection) -> Host:
    """The node as the servers know it."""
    interface = ipaddress.IPv4Interface(node.uplink.address)
    return Host(
        pair=profile.pair.name,
        name=node.name,
        macs=tuple(mac.lower() for mac in node.uplink.ports),
        address=str(interface.ip),
        network=str(interface.network.network_address),
        netmask=str(interface.netmask),
        gateway=node.uplink.gateway,
        dns=tuple(node.uplink.dns),
        tagged=profile.uplink.vlan is not None,
    )


def pair_files(
    plan: Plan, medium: Medium, site: Site, templates: jinja2.Environment
) -> dict[str, bytes]:
    """Path -> bytes of one pair: its kickstarts and manifest, and a menu for each of its ports."""
    own = f"{HTTP}/pairs/{plan.pair.name}"
    files = {f"{own}/{path}": data for path, data in tree(plan, medium, templates).items()}
    for node in plan.profile.node:
        if medium.installs(node.name):
            for port in range(len(node.uplink.ports)):
                menus = _menus(plan.profile, node, port, medium, site, templates)
                files |= {path: text.encode() for path, text in menus.items()}
    return files


def _menus(
    profile: Profile,
    node: NodeSection,
    port: int,
    medium: Medium,
    site: Site,
    templates: jinja2.Environment,
) -> dict[str, str]:
    """The node's menu in each loader's language, by the MAC of one of its ports."""
    install = bootmenu.entry(profile, node, medium, port)
    lines = [install, bootmenu.describing(profile, medium, node, port=port)]
    values = bootmenu.menu(profile, medium, lines, install.label)
    mac = dashed(node.uplink.ports[port])

    def text(template: str, images: str) -> str:
        return templates.get_template(f"boot/{template}").render(values | {"images": images})

    ipxe = text("node.ipxe.j2", f"{site.url}/{IMAGES}")
    files = {
        f"{HTTP}/EFI/BOOT/grub.cfg-01-{mac}": text("grub.cfg.j2", f"{site.base}/{IMAGES}"),
        f"{TFTP}/EFI/BOOT/grub.cfg-01-{mac}": text("grub.cfg.j2", f"/{IMAGES}"),
        f"{HTTP}/ipxe/{mac}.ipxe": ipxe,
    }
    if site.pxelinux:
        files[f"{TFTP}/pxelinux.cfg/01-{mac}"] = text("isolinux.cfg.j2", IMAGES)
    return files


def dashed(mac: str) -> str:
    """A MAC as the loaders write it into a file's name."""
    return mac.lower().replace(":", "-")


def site_files(
    site: Site, nodes: Sequence[Host], templates: jinja2.Environment
) -> dict[str, bytes]:
    """Path -> bytes of what all pairs share: the refusals, and how the tree is served."""
    values = {
        "site": site,
        "nodes": nodes,
        "networks": _networks(nodes),
        "pool_network": pool_network(site, nodes),
        "pairs": _pairs(nodes),
        "address": _address(site.listen or site.host),
        "demonstration": site.demonstration,
        "refusal_s": REFUSAL_S,
        "pxelinux": PXELINUX,
        "efi_loader": EFI_LOADER,
        "refusals": REFUSALS,
    }
    grub, ipxe = REFUSALS.values()

    def text(template: str, **more: object) -> bytes:
        return templates.get_template(f"boot/{template}").render(values | more).encode()

    files = {
        f"{HTTP}/EFI/BOOT/grub.cfg": text("site.grub.j2", base=site.base, port="$ports"),
        f"{TFTP}/EFI/BOOT/grub.cfg": text("site.grub.j2", base="", port="$ports"),
        f"{HTTP}/{grub}": text("refused.grub.j2", port="$net_default_mac"),
        f"{HTTP}/boot.ipxe": text("boot.ipxe.j2"),
        f"{HTTP}/{ipxe}": b"#!ipxe\n" + text("refused.ipxe.j2"),
        f"{TFTP}/boot.ipxe": text("boot.ipxe.j2"),
        DNSMASQ: text("dnsmasq.conf.j2"),
        NGINX: text("nginx.conf.j2"),
    }
    if site.pxelinux:
        files[f"{TFTP}/pxelinux.cfg/default"] = text("refusal.pxelinux.j2")
    return files


def _networks(nodes: Sequence[Host]) -> list[Host]:
    """One node of each network."""
    return list({(node.network, node.netmask): node for node in reversed(nodes)}.values())[::-1]


def pool_network(site: Site, nodes: Sequence[Host]) -> str | None:
    """The address of the nodes' network that the whole pool is in, None where there is none."""
    for node in nodes if site.pool else ():
        network = ipaddress.IPv4Network(f"{node.network}/{node.netmask}")
        if all(ipaddress.IPv4Address(address) in network for address in site.pool or ()):
            return node.network
    return None


def _pairs(nodes: Sequence[Host]) -> Mapping[str, list[Host]]:
    pairs: dict[str, list[Host]] = {}
    for node in nodes:
        pairs.setdefault(node.pair, []).append(node)
    return pairs


def _address(host: str) -> str:
    """The host where it is an address, "" where it is a name."""
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        return ""


def clashes(nodes: Sequence[Host]) -> Iterator[str]:
    """What two nodes of the tree cannot share: a MAC, or an address."""
    seen: dict[str, Host] = {}
    for node in nodes:
        for what in (*node.macs, node.address):
            if (other := seen.setdefault(what, node)) is not node:
                yield f"{what} is {other.name}'s ({other.pair}) and {node.name}'s ({node.pair})"
