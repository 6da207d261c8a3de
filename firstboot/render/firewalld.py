"""firewalld: the crossover's zone, and one rule for what comes in over the uplink.

The rule stands in a policy of its own, so that the uplink's zone stays the administrator's.
"""

import ipaddress
from collections.abc import Iterator
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import BOND, RENDEZVOUS_PORT, Identity, Node
from firstboot.render import libvirt
from firstboot.render.chrony import serves
from firstboot.render.networkmanager.crossover import ZONE

FOLDER = PurePosixPath("/etc/firewalld")
POLICY = "ksbuild-uplink"

# firewalld's own high-availability.xml has them as well, among others that are of no use here.
COROSYNC = ("5405-5412", "udp")
DLM = ("21064", "tcp")
MIGRATION = ("{}-{}".format(*libvirt.PORTS), "tcp")
LIBVIRT_TLS = (str(libvirt.TLS_PORT), "tcp")
NTP = ("123", "udp")


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """Zone and policy, or nothing on a platform without firewalld."""
    if not identity.pair.has("firewall"):
        return ()
    return (
        ConfigFile(FOLDER / f"zones/{ZONE}.xml", _zone(identity)),
        ConfigFile(FOLDER / f"policies/{POLICY}.xml", _policy(identity)),
    )


def crossover_ports(identity: Identity) -> Iterator[tuple[str, str]]:
    """Ports, as one or FIRST-LAST, and protocol of what a node lets in over the crossover."""
    yield str(RENDEZVOUS_PORT), "tcp"
    yield str(identity.pair.drbd.port), "tcp"
    yield from (COROSYNC, DLM, MIGRATION, LIBVIRT_TLS)
    if serves(identity):
        yield NTP


def _zone(identity: Identity) -> str:
    ports = "\n".join(
        f'  <port port="{p}" protocol="{kind}"/>' for p, kind in crossover_ports(identity)
    )
    return f"""\
<?xml version="1.0" encoding="utf-8"?>
<zone target="DROP">
  <short>{ZONE}</short>
  <description>The bond between the two nodes of a ksbuild pair</description>
  <interface name="{BOND}"/>
  <service name="ssh"/>
{ports}
  <protocol value="icmp"/>
</zone>
"""


def _policy(identity: Identity) -> str:
    port, protocol = COROSYNC
    return f"""\
<?xml version="1.0" encoding="utf-8"?>
<policy priority="-1" target="CONTINUE">
  <short>{POLICY}</short>
  <description>corosync's second link, from the other node of a ksbuild pair alone</description>
  <ingress-zone name="ANY"/>
  <egress-zone name="HOST"/>
  <rule family="ipv4">
    <source address="{_ip(identity.peer)}"/>
    <destination address="{_ip(identity.me)}"/>
    <port port="{port}" protocol="{protocol}"/>
    <accept/>
  </rule>
</policy>
"""


def _ip(node: Node) -> str:
    return str(ipaddress.ip_interface(node.uplink.address).ip)
