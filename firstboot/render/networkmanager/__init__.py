"""NetworkManager: its own settings, the uplink's profiles and the crossover's."""

from pathlib import PurePosixPath
from typing import Optional

from firstboot.configfile import ConfigFile
from firstboot.node import Identity
from firstboot.render.networkmanager import crossover, uplink
from firstboot.render.networkmanager.keyfile import text


def render(identity: Identity, ports: Optional[tuple[str, ...]] = None) -> tuple[ConfigFile, ...]:
    """Every file of NetworkManager's on this node.

    `ports` are the permanent MACs of the crossover ports that were found good; None stands for the
    profile's.
    """
    return (
        settings(),
        *uplink.render(identity),
        *crossover.render(identity, identity.me.crossover_ports if ports is None else ports),
    )


def settings() -> ConfigFile:
    """No profiles that NetworkManager invents by itself for ports that have none."""
    path = PurePosixPath("/etc/NetworkManager/conf.d/90-ksbuild.conf")
    return ConfigFile(path, text({"main": {"no-auto-default": "*"}}))
