"""The boot menus: install this server, either node by name, or start the local disk."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jinja2

from builder.profile.model import NodeSection, Profile

TIMEOUT_S = 30
# No host name can hold a _, so no node's entry has one of these labels.
INSTALL, LOCAL, DESCRIBE = "install_this_server", "local_disk", "describe_this_server"


@dataclass(frozen=True, slots=True)
class Served:
    """Where a tree for network boot is reached, addresses without a slash at the end.

    `tree` has the source's files as a medium has them, `pair` the kickstarts of one pair.
    """

    tree: str
    pair: str


@dataclass(frozen=True, slots=True)
class Medium:
    """What the menus must know of the medium and of the source its loaders come from.

    `stage2` says that the medium carries the installer's own image (images/install.img), `dvd` that
    the packages are on it, too, or on the one that it accompanies, `menus` that it starts by itself
    and brings them along. With `node` it installs that one alone. What is `served` is no volume:
    servers start from it over the network.
    """

    volume_id: str
    demonstration: bool
    grub_linux: str
    grub_initrd: str
    stage2: bool = False
    dvd: bool = False
    menus: bool = True
    node: str | None = None
    served: Served | None = None

    @property
    def kickstarts(self) -> str:
        """What inst.ks= has before a kickstart's name.

        hd:LABEL= finds a medium as a CD and as a USB stick alike; cdrom: would not
        (anaconda-lib.sh).
        """
        return f"{self.served.pair}/" if self.served else f"hd:LABEL={self.volume_id}:/"

    @property
    def place(self) -> str:
        """Where the source's files are, as inst.stage2= takes it."""
        return self.served.tree if self.served else f"hd:LABEL={self.volume_id}"

    def installs(self, name: str) -> bool:
        """Whether that node of the pair can be installed from it."""
        return self.node in (None, name)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu: `cmdline` is the kernel's."""

    label: str
    title: str
    cmdline: str


def entries(profile: Profile, medium: Medium) -> list[Entry]:
    """The entries that start the installer's kernel from a medium; the first is the default.

    %pre makes sure that the default one may start by itself: it installs only on a server it knows,
    on a disk that is blank, consented to or unfinished.
    """
    nodes = [node for node in profile.node if medium.installs(node.name)]
    first = _entry(profile, medium, INSTALL, "Install this server", "ks.cfg", *nodes)
    last = describing(profile, medium, *nodes)
    return [first, *(entry(profile, node, medium) for node in nodes), last]


def entry(profile: Profile, node: NodeSection, medium: Medium, port: int = 0) -> Entry:
    """The entry that installs `node`, over the port of its uplink with that number."""
    known_by = f"serial {node.serial}" if node.serial else f"port {node.uplink.ports[0]}"
    title = f"Install {node.name} ({known_by})"
    return _entry(profile, medium, label(node.name), title, f"{node.name}.ks", node, port=port)


def describing(profile: Profile, medium: Medium, *nodes: NodeSection, port: int = 0) -> Entry:
    """The entry that describes whichever of `nodes`, or another server, it is started on."""
    title = "Describe this server (writes to no disk)"
    return _entry(profile, medium, DESCRIBE, title, "describe.cfg", *nodes, port=port)


def label(name: str) -> str:
    """A node's name as the boot loaders take it."""
    return name.replace(".", "-")


def installed_mark(profile: Profile) -> str:
    """The file on the EFI system partition by which GRUB knows a node of this pair."""
    return f"/EFI/ksbuild/{profile.pair.id}"


def render(templates: jinja2.Environment, profile: Profile, medium: Medium) -> dict[str, str]:
    """Path -> text of each loader's configuration."""
    values = menu(profile, medium, entries(profile, medium), INSTALL)
    return {
        "EFI/BOOT/grub.cfg": templates.get_template("boot/grub.cfg.j2").render(values),
        "isolinux/isolinux.cfg": templates.get_template("boot/isolinux.cfg.j2").render(values),
    }


def menu(profile: Profile, medium: Medium, lines: list[Entry], default: str) -> dict[str, Any]:
    """What the loaders' templates want; `lines` start the installer, `default` by itself."""
    return {
        "title": f"ksbuild: pair {profile.pair.name}",
        "demonstration": medium.demonstration,
        "entries": lines,
        "timeout_s": TIMEOUT_S,
        "default": default,
        "local": LOCAL,
        "installed_mark": installed_mark(profile),
        "grub_linux": medium.grub_linux,
        "grub_initrd": medium.grub_initrd,
        "volume_id": None if medium.served else medium.volume_id,
        "images": "/images/pxeboot",
    }


def _entry(
    profile: Profile,
    medium: Medium,
    name: str,
    title: str,
    kickstart: str,
    *nodes: NodeSection,
    port: int = 0,
) -> Entry:
    """An entry that reads `kickstart` and can reach the network as any of `nodes`.

    inst.nosave keeps the kickstart itself off the installed disk; its %post, which carries the
    introduction's keys and which Anaconda copies there, removes itself.
    """
    stage2 = medium.place if medium.stage2 else profile.install.url or medium.place
    arguments = [
        f"inst.ks={medium.kickstarts}{kickstart}",
        f"inst.stage2={stage2}",
        "inst.nosave=input_ks,output_ks",
        *network(profile, nodes, port, wait=bool(medium.served) or fetches(profile)),
        *profile.install.kernel_arguments,
    ]
    return Entry(name, title, " ".join(arguments))


def fetches(profile: Profile) -> bool:
    """Whether a medium's installation wants a network: nothing waits for one that it needs not."""
    install = profile.install
    fetched = install.url or install.repositories or install.registration_file
    return profile.pair.platform == "el9" and bool(fetched)


def network(
    profile: Profile, nodes: tuple[NodeSection, ...], use: int = 0, *, wait: bool = True
) -> Iterator[str]:
    """The uplink for dracut, so that it is up before %pre asks the repositories.

    Of several, NetworkManager uses the one whose port is there; it takes a MAC with dashes for an
    interface (nm-initrd-generator), but not for what a VLAN lies on: that port gets a name.
    Anaconda calls the VLAN of the kickstart's line the same (its modules/network/kickstart.py).
    Without `wait` nothing stops for it, and it is there only for telling progress.
    """
    vlan = profile.uplink.vlan
    if wait:
        yield "rd.neednet=1"
    elif not profile.progress.url or profile.pair.platform != "el9":
        return
    for number, node in enumerate(profile.node, start=1):
        if node not in nodes:
            continue
        mac = node.uplink.ports[use].lower()
        device = mac.replace(":", "-")
        if vlan is not None:
            port, device = f"ksup{number}", f"ksup{number}.{vlan}"
            yield f"ifname={port}:{mac}"
            yield f"vlan={device}:{port}"
        interface = ipaddress.IPv4Interface(node.uplink.address)
        yield f"ip={interface.ip}::{node.uplink.gateway}:{interface.netmask}::{device}:none"
    yield from sorted({f"nameserver={server}" for node in nodes for server in node.uplink.dns})
