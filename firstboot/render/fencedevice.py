"""A pair's fence devices as pacemaker knows them: names, agents, options; passwords by script.

pacemaker runs `fence_*` from /usr/sbin and from nowhere else (its build's RH_STONITH_DIR), so a
device of the profile's own is there too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import FENCE_COMMAND, FenceDevice, Identity, Node, Pair

FOLDER = PurePosixPath("/usr/sbin")
SECRETS = PurePosixPath("/etc/ksbuild/secrets")
# bin_t under SELinux, as everything in libexec: fence agents may run what lies there.
SCRIPTS = PurePosixPath("/usr/local/libexec/ksbuild")
CUSTOM = re.compile(FENCE_COMMAND, re.ASCII)
AGENTS = {
    "ipmilan": "fence_ipmilan",
    "ilo4": "fence_ilo4",
    "ilo5": "fence_ilo5",
    "redfish": "fence_redfish",
}


@dataclass(frozen=True)
class Device:
    """One fence device: `target` is the node it cuts off, `secret` its password's name."""

    id: str
    target: str
    level: int
    agent: str
    options: Mapping[str, str]
    secret: str

    @property
    def script(self) -> PurePosixPath:
        """The program that prints this device's password."""
        return SCRIPTS / self.secret


def devices(pair: Pair) -> tuple[Device, ...]:
    """Every device, by node and level. Raises ValueError for an agent pacemaker can't run."""
    return tuple(device for node in pair.nodes for device in _of(node))


def scripts(identity: Identity) -> tuple[ConfigFile, ...]:
    """What prints the passwords of the devices that cut the peer off; our own are the peer's."""
    wanted = {d.script: d for d in devices(identity.pair) if d.target == identity.peer.name}
    return tuple(
        ConfigFile(
            path,
            "#!/bin/sh\n"
            "# A fence device's password_script: the password stands in no CIB and in no argv.\n"
            f"exec cat {SECRETS / device.secret}\n",
            mode=0o700,
        )
        for path, device in wanted.items()
    )


def program(device: FenceDevice) -> str:
    """Name of the fence agent in /usr/sbin. Raises ValueError when it is not one of those."""
    if device.agent != "custom":
        return AGENTS[device.agent]
    if not (found := CUSTOM.fullmatch(device.command or "")):
        raise ValueError(f"{device.command} is not a /usr/sbin/fence_*: pacemaker can't run it")
    return found.group(1)


def options(device: FenceDevice) -> dict[str, str]:
    """The agent's options but for the password, as its standard input takes them."""
    given = {"ip": device.address, "ipport": device.port, "username": device.user}
    found = {name: str(value) for name, value in given.items() if value is not None}
    if device.agent == "custom":
        return found
    if device.agent == "redfish":
        found["ssl_insecure"] = "1"  # a BMC signs its certificate itself
    else:
        found["lanplus"] = "1"  # fence_ipmilan's default is IPMI 1.5, without encryption
        found["privlvl"] = "operator"  # enough for the power; its default asks for more
    return found


def keyed(node: Node) -> list[tuple[str, FenceDevice]]:
    """A node's devices by level, each with a name of its own: "1", "2", the next of that "2-2"."""
    found: list[tuple[str, FenceDevice]] = []
    for device in sorted(node.fencing, key=lambda device: device.level):
        same = sum(other.level == device.level for _, other in found)
        found.append((f"{device.level}-{same + 1}" if same else str(device.level), device))
    return found


def _of(node: Node) -> list[Device]:
    return [
        Device(
            id=f"ks-fence-{node.name}-{key}",
            target=node.name,
            level=device.level,
            agent=program(device),
            options=options(device),
            secret=f"fence-{node.name}-{key}",
        )
        for key, device in keyed(node)
    ]
