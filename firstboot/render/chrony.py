"""chrony.conf, whole: the profile's servers, or else the first node's clock for both."""

import ipaddress
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

PATH = PurePosixPath("/etc/chrony.conf")

_REST = """\
driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
"""


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """Without time servers the nodes agree with each other, over the bond, and with nobody else."""
    lines = [f"server {server} iburst" for server in identity.pair.time_servers]
    first, second = (
        ipaddress.ip_interface(node.crossover_address).ip for node in identity.pair.nodes
    )
    if not lines and identity.first:
        lines = ["local stratum 10", f"allow {second}"]
    elif not lines:
        lines = [f"server {first} iburst"]
    return (ConfigFile(PATH, "\n".join(lines) + "\n" + _REST),)


def serves(identity: Identity) -> bool:
    """Whether the peer takes its time from this node."""
    return identity.first and not identity.pair.time_servers
