"""The firewalld zone of the crossover bond: only what the two nodes say to each other."""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import BOND, RENDEZVOUS_PORT, Identity
from firstboot.render.networkmanager import ZONE

PATH = PurePosixPath(f"/etc/firewalld/zones/{ZONE}.xml")


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The zone file, or nothing on a platform without firewalld."""
    if not identity.pair.has("firewall"):
        return ()
    return (ConfigFile(PATH, _zone()),)


def _zone() -> str:
    return f"""\
<?xml version="1.0" encoding="utf-8"?>
<zone target="DROP">
  <short>{ZONE}</short>
  <description>The bond between the two nodes of a ksbuild pair</description>
  <interface name="{BOND}"/>
  <service name="ssh"/>
  <port port="{RENDEZVOUS_PORT}" protocol="tcp"/>
  <protocol value="icmp"/>
</zone>
"""
