"""The bond over the crossover cables, and one profile per port of it."""

from firstboot.configfile import ConfigFile
from firstboot.node import BOND, Identity
from firstboot.render.networkmanager.keyfile import Sections, connection, keyfile

BOND_CONNECTION = f"ks-{BOND}"
ZONE = "crossover"


def render(identity: Identity, ports: tuple[str, ...]) -> tuple[ConfigFile, ...]:
    """The profiles of a bond over `ports`, permanent MACs."""
    return (
        keyfile(_bond(identity)),
        *(keyfile(_port(identity, n, mac)) for n, mac in enumerate(ports, start=1)),
    )


def _bond(identity: Identity) -> Sections:
    crossover = identity.pair.crossover
    zone = {"zone": ZONE} if identity.pair.has("firewall") else {}
    return {
        "connection": connection(
            identity,
            BOND_CONNECTION,
            "bond",
            interface_name=BOND,
            autoconnect_slaves="1",
            **zone,
        ),
        "ethernet": {"mtu": str(crossover.mtu)},
        "bond": {"mode": crossover.mode, "miimon": str(crossover.miimon_ms)},
        "ipv4": {
            "method": "manual",
            "address1": identity.me.crossover_address,
            "never-default": "true",
            "may-fail": "false",
        },
        "ipv6": {"method": "disabled"},
    }


def _port(identity: Identity, number: int, mac: str) -> Sections:
    name = f"{BOND_CONNECTION}-port{number}"
    return {
        "connection": connection(identity, name, "ethernet", master=BOND, slave_type="bond"),
        "ethernet": {"mac-address": mac, "mtu": str(identity.pair.crossover.mtu)},
    }
