"""NetworkManager's profiles that are not ours and would take our ports. Parsing is pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from firstboot.commands import Run
from firstboot.render.networkmanager.keyfile import OURS

_TYPES = ("802-3-ethernet", "vlan")


@dataclass(frozen=True)
class Profile:
    """A profile: what it is bound to, "" where it says nothing. `parent` and `vlan`: a VLAN's."""

    uuid: str
    name: str
    kind: str
    interface: str
    mac: str
    parent: str
    vlan: str


def foreign(run: Run, ports: Collection[str], macs: Collection[str]) -> list[Profile]:
    """Profiles of others that are for one of these ports, or for whatever port there is.

    `ports` are interface names, `macs` their permanent addresses in upper case.
    """
    found = []
    listed = run(["nmcli", "-t", "-e", "no", "-f", "UUID,TYPE,NAME", "connection", "show"])
    for line in listed.stdout.splitlines():
        uuid, kind, name = line.split(":", 2)
        if kind in _TYPES and not name.startswith(OURS):
            shown = run(["nmcli", "-t", "-e", "no", "connection", "show", "uuid", uuid])
            found.append(parse(uuid, name, kind, shown.stdout))
    return for_ports(found, ports, macs)


def parse(uuid: str, name: str, kind: str, shown: str) -> Profile:
    """`nmcli -t -e no connection show` of one profile: lines of KEY:VALUE."""
    keys = dict(line.split(":", 1) for line in shown.splitlines() if ":" in line)
    return Profile(
        uuid,
        name,
        kind,
        interface=keys.get("connection.interface-name", ""),
        mac=keys.get("802-3-ethernet.mac-address", ""),
        parent=keys.get("vlan.parent", ""),
        vlan=keys.get("vlan.id", ""),
    )


def for_ports(
    profiles: Sequence[Profile], ports: Collection[str], macs: Collection[str]
) -> list[Profile]:
    """Those of `profiles` that are for one of these ports, a VLAN on one included."""
    plain = [p for p in profiles if p.kind != "vlan" and _takes(p, ports, macs)]
    parents = {*ports, *macs, *(p.uuid for p in plain)}
    return plain + [p for p in profiles if p.kind == "vlan" and p.parent in parents]


def _takes(profile: Profile, ports: Collection[str], macs: Collection[str]) -> bool:
    if profile.mac:
        return profile.mac.upper() in macs
    return profile.interface in ports or not profile.interface
