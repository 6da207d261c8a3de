"""NetworkManager keyfiles: the crossover bond and its ports, matched by permanent MAC.

Keys are the old spellings (`master`, `slave-type`, `autoconnect-slaves`): NetworkManager before
1.46 drops `controller` and `port-type` without a word, and every version still reads these.
"""

import uuid
from collections.abc import Mapping
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import BOND, Identity

CONNECTIONS = PurePosixPath("/etc/NetworkManager/system-connections")
BOND_CONNECTION = f"ks-{BOND}"
ZONE = "crossover"

Sections = Mapping[str, Mapping[str, str]]


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The bond, one profile per port, and no profiles that NetworkManager invents by itself."""
    conf = PurePosixPath("/etc/NetworkManager/conf.d/90-ksbuild.conf")
    ports = enumerate(identity.me.crossover_ports, start=1)
    return (
        ConfigFile(conf, _text({"main": {"no-auto-default": "*"}})),
        _keyfile(BOND_CONNECTION, _bond(identity)),
        *(_keyfile(f"{BOND_CONNECTION}-port{n}", _port(identity, n, mac)) for n, mac in ports),
    )


def _bond(identity: Identity) -> Sections:
    crossover = identity.pair.crossover
    connection = {
        "id": BOND_CONNECTION,
        "uuid": _uuid(identity, BOND_CONNECTION),
        "type": "bond",
        "interface-name": BOND,
        "autoconnect-priority": "10",
        "autoconnect-slaves": "1",
    }
    if identity.pair.has("firewall"):
        connection["zone"] = ZONE
    return {
        "connection": connection,
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
        "connection": {
            "id": name,
            "uuid": _uuid(identity, name),
            "type": "ethernet",
            "autoconnect-priority": "10",
            "master": BOND,
            "slave-type": "bond",
        },
        "ethernet": {"mac-address": mac, "mtu": str(identity.pair.crossover.mtu)},
    }


def _uuid(identity: Identity, name: str) -> str:
    return str(uuid.uuid5(uuid.UUID(identity.pair.id), f"{identity.node}/connection/{name}"))


def _keyfile(name: str, sections: Sections) -> ConfigFile:
    # 0600: NetworkManager ignores keyfiles that others can read (nms-keyfile-utils.c).
    return ConfigFile(CONNECTIONS / f"{name}.nmconnection", _text(sections), mode=0o600)


def _text(sections: Sections) -> str:
    blocks = (
        "\n".join([f"[{title}]", *(f"{key}={value}" for key, value in values.items())])
        for title, values in sections.items()
    )
    return "\n\n".join(blocks) + "\n"
