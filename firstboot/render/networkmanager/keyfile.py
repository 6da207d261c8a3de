"""NetworkManager's keyfile format, and what every profile of ours has in common.

Keys are the old spellings (`master`, `slave-type`, `autoconnect-slaves`): NetworkManager before
1.46 drops `controller` and `port-type` without a word, and every version still reads these.
"""

import uuid
from collections.abc import Mapping
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

CONNECTIONS = PurePosixPath("/etc/NetworkManager/system-connections")
OURS = "ks-"  # every profile of ours begins so
NO_ADDRESS = {"ipv4": {"method": "disabled"}, "ipv6": {"method": "disabled"}}

Sections = Mapping[str, Mapping[str, str]]


def connection(identity: Identity, name: str, kind: str, **more: str) -> dict[str, str]:
    """The [connection] section of profile `name`; `more` has "_" where a key has "-"."""
    return {
        "id": name,
        "uuid": connection_uuid(identity, name),
        "type": kind,
        "autoconnect-priority": "10",  # above the installer's profiles, which have none
        **{key.replace("_", "-"): value for key, value in more.items()},
    }


def connection_uuid(identity: Identity, name: str) -> str:
    """A profile's UUID: the same at every run, different on the two nodes."""
    return str(uuid.uuid5(uuid.UUID(identity.pair.id), f"{identity.node}/connection/{name}"))


def keyfile(sections: Sections) -> ConfigFile:
    """The profile as a file, named for its id."""
    # 0600: NetworkManager ignores keyfiles that others can read (nms-keyfile-utils.c).
    path = CONNECTIONS / f"{sections['connection']['id']}.nmconnection"
    return ConfigFile(path, text(sections), mode=0o600)


def text(sections: Sections) -> str:
    """Sections as the keyfile format has them."""
    blocks = (
        "\n".join([f"[{title}]", *(f"{key}={value}" for key, value in values.items())])
        for title, values in sections.items()
    )
    return "\n\n".join(blocks) + "\n"
