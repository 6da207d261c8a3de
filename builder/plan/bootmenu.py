"""The boot menus: install this server, either node by name, or start the local disk."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

import jinja2

from builder.profile.model import NodeSection, Profile

TIMEOUT_S = 30
# No host name can hold a _, so no node's entry has one of these labels.
INSTALL, LOCAL, DESCRIBE = "install_this_server", "local_disk", "describe_this_server"


@dataclass(frozen=True, slots=True)
class Medium:
    """What the menus must know of the medium and of the source its loaders come from.

    `stage2` says that the medium carries the installer's own image (images/install.img), `dvd` that
    the packages are on it, too, or on the one that it accompanies, `menus` that it starts by itself
    and brings them along. With `node` it installs that one alone.
    """

    volume_id: str
    demonstration: bool
    grub_linux: str
    grub_initrd: str
    stage2: bool = False
    dvd: bool = False
    menus: bool = True
    node: str | None = None

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
    """The entries that start the installer's kernel; the first is the default.

    %pre makes sure that the default one may start by itself: it installs only on a server it knows,
    on a disk that is blank, consented to or unfinished.
    """
    nodes = [node for node in profile.node if medium.installs(node.name)]
    first = _entry(profile, medium, INSTALL, "Install this server", "ks.cfg", *nodes)
    describe = "Describe this server (writes to no disk)"
    last = _entry(profile, medium, DESCRIBE, describe, "describe.cfg", *nodes)
    return [first, *(entry(profile, node, medium) for node in nodes), last]


def entry(profile: Profile, node: NodeSection, medium: Medium) -> Entry:
    """The entry that installs `node`."""
    known_by = f"serial {node.serial}" if node.serial else f"port {node.uplink.ports[0]}"
    title = f"Install {node.name} ({known_by})"
    return _entry(profile, medium, label(node.name), title, f"{node.name}.ks", node)


def label(name: str) -> str:
    """A node's name as the boot loaders take it."""
    return name.replace(".", "-")


def installed_mark(profile: Profile) -> str:
    """The file on the EFI system partition by which GRUB knows a node of this pair."""
    return f"/EFI/ksbuild/{profile.pair.id}"


def render(templates: jinja2.Environment, profile: Profile, medium: Medium) -> dict[str, str]:
    """Path -> text of each loader's configuration."""
    values = {
        "title": f"ksbuild: pair {profile.pair.name}",
        "demonstration": medium.demonstration,
        "entries": entries(profile, medium),
        "timeout_s": TIMEOUT_S,
        "default": INSTALL,
        "local": LOCAL,
        "installed_mark": installed_mark(profile),
        "grub_linux": medium.grub_linux,
        "grub_initrd": medium.grub_initrd,
        "volume_id": medium.volume_id,
    }
    return {
        "EFI/BOOT/grub.cfg": templates.get_template("boot/grub.cfg.j2").render(values),
        "isolinux/isolinux.cfg": templates.get_template("boot/isolinux.cfg.j2").render(values),
    }


def _entry(
    profile: Profile, medium: Medium, name: str, title: str, kickstart: str, *nodes: NodeSection
) -> Entry:
    """An entry that reads `kickstart` and can reach the network as any of `nodes`.

    hd:LABEL= finds the medium as a CD and as a USB stick alike; cdrom: would not
    (anaconda-lib.sh). inst.nosave keeps the kickstart itself off the installed disk; its %post,
    which carries the introduction's keys and which Anaconda copies there, removes itself.
    """
    on_medium = f"hd:LABEL={medium.volume_id}"
    stage2 = on_medium if medium.stage2 else profile.install.url or on_medium
    arguments = [
        f"inst.ks={on_medium}:/{kickstart}",
        f"inst.stage2={stage2}",
        "inst.nosave=input_ks,output_ks",
        *network(profile, nodes),
        *profile.install.kernel_arguments,
    ]
    return Entry(name, title, " ".join(arguments))


def network(profile: Profile, nodes: tuple[NodeSection, ...]) -> Iterator[str]:
    """The uplink for dracut, so that it is up before %pre asks the repositories.

    Of several, NetworkManager uses the one whose port is there; it takes a MAC with dashes for an
    interface (nm-initrd-generator), but not for what a VLAN lies on: that port gets a name.
    Anaconda calls the VLAN of the kickstart's line the same (its modules/network/kickstart.py).
    Nothing waits for a network that nothing is fetched from; progress is told if it is there.
    """
    install, vlan = profile.install, profile.uplink.vlan
    fetched = install.url or install.repositories or install.registration_file
    if profile.pair.platform != "el9" or not (fetched or profile.progress.url):
        return
    if fetched:
        yield "rd.neednet=1"
    for number, node in enumerate(profile.node, start=1):
        if node not in nodes:
            continue
        mac = node.uplink.ports[0].lower()
        device = mac.replace(":", "-")
        if vlan is not None:
            port, device = f"ksup{number}", f"ksup{number}.{vlan}"
            yield f"ifname={port}:{mac}"
            yield f"vlan={device}:{port}"
        interface = ipaddress.IPv4Interface(node.uplink.address)
        yield f"ip={interface.ip}::{node.uplink.gateway}:{interface.netmask}::{device}:none"
    yield from sorted({f"nameserver={server}" for node in nodes for server in node.uplink.dns})
