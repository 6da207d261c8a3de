"""/etc/hosts, whole: it is the node's own, so that names never wait for a name server."""

import ipaddress
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity, Node

BOND_SUFFIX = "-bond"  # justinian-bond is justinian on the crossover

_LOCALHOST = """\
127.0.0.1   localhost localhost.localdomain localhost4 localhost4.localdomain4
::1         localhost localhost.localdomain localhost6 localhost6.localdomain6
"""


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """Both nodes on the uplink, by name, and on the bond, by name-bond."""
    lines = ["# Written by ksnode, which keeps the whole file."]
    for node in identity.pair.nodes:
        lines.append(f"{_ip(node.uplink.address)} {' '.join(_names(node.name))}")
        lines.append(f"{_ip(node.crossover_address)} {' '.join(_names(on_bond(node.name)))}")
    return (ConfigFile(PurePosixPath("/etc/hosts"), _LOCALHOST + "\n".join(lines) + "\n"),)


def names_of(node: Node) -> list[str]:
    """Every name and address of a node, on the uplink and on the bond."""
    uplink, bond = _ip(node.uplink.address), _ip(node.crossover_address)
    return [*_names(node.name), uplink, *_names(on_bond(node.name)), bond]


def on_bond(name: str) -> str:
    """The name of a node on the bond; the suffix stands before the first dot."""
    host, dot, domain = name.partition(".")
    return f"{host}{BOND_SUFFIX}{dot}{domain}"


def _names(name: str) -> list[str]:
    host = name.partition(".")[0]
    return [name] if host == name else [name, host]


def _ip(address: str) -> str:
    return str(ipaddress.ip_interface(address).ip)
