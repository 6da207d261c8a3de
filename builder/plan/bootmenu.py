"""The boot menus: one entry per node, each naming its own kickstart by the volume's label."""

from dataclasses import dataclass

import jinja2

from builder.profile.model import NodeSection, Profile


@dataclass(frozen=True, slots=True)
class Medium:
    """What the menus must know of the medium and of the source its loaders come from."""

    volume_id: str
    demonstration: bool
    grub_linux: str
    grub_initrd: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu: `cmdline` is the kernel's."""

    label: str
    title: str
    cmdline: str


def entry(profile: Profile, node: NodeSection, medium: Medium) -> Entry:
    """The entry that installs `node`.

    hd:LABEL= finds the medium as a CD and as a USB stick alike; cdrom: would not
    (anaconda-lib.sh). inst.nosave keeps the kickstart, which carries the introduction key, off the
    installed disk.
    """
    arguments = [
        f"inst.ks=hd:LABEL={medium.volume_id}:/{node.name}.ks",
        f"inst.stage2={profile.install.url}",
        "inst.nosave=input_ks,output_ks",
        *profile.install.kernel_arguments,
    ]
    known_by = f"serial {node.serial}" if node.serial else f"port {node.uplink.ports[0]}"
    return Entry(label(node.name), f"Install {node.name} ({known_by})", " ".join(arguments))


def label(name: str) -> str:
    """A node's name as the boot loaders take it."""
    return name.replace(".", "-")


def render(templates: jinja2.Environment, profile: Profile, medium: Medium) -> dict[str, str]:
    """Path -> text of each loader's configuration."""
    values = {
        "title": f"ksbuild: pair {profile.pair.name}",
        "demonstration": medium.demonstration,
        "entries": [entry(profile, node, medium) for node in profile.node],
        "timeout_s": 0,
        "default": None,
        "grub_linux": medium.grub_linux,
        "grub_initrd": medium.grub_initrd,
        "volume_id": medium.volume_id,
    }
    return {
        "EFI/BOOT/grub.cfg": templates.get_template("boot/grub.cfg.j2").render(values),
        "isolinux/isolinux.cfg": templates.get_template("boot/isolinux.cfg.j2").render(values),
    }
