"""br0 on the uplink, and the installer's own profiles gone once ours carry the network."""

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from firstboot import files, links, profiles, unread
from firstboot.commands import CommandError
from firstboot.engine import Refused, Step
from firstboot.links import Link
from firstboot.node import BRIDGE
from firstboot.profiles import Profile
from firstboot.render import networkmanager
from firstboot.render.networkmanager import uplink
from firstboot.render.networkmanager.crossover import BOND_CONNECTION
from firstboot.render.networkmanager.keyfile import CONNECTIONS, OURS
from firstboot.steps import Context

UP_S = 90  # for one profile to come up
SETTLE_S = 30  # for ports to join after it
READER = "NetworkManager"


class Uplink(Step):
    """Goes on with the uplink ports that are there; none at all is refused."""

    name = "uplink"

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep
        identity = context.identity
        self._below = (networkmanager.settings(), *uplink.carriers(identity))
        self._own = {b.name: uplink.of_bridge(identity, b) for b in uplink.bridges(identity)}
        self._files = (*self._below, *(file for own in self._own.values() for file in own))
        self._absent: Sequence[str] = ()

    def remark(self) -> str:
        """The planned ports that this machine does not have."""
        return f"no such port: {', '.join(self._absent)}" if self._absent else ""

    def check(self) -> Sequence[str]:
        """Files and links that differ, and profiles in the way: others', and our own of before."""
        root, found = self._context.root, self._links()
        missing = [*files.differing(root, self._files), *unread.marked(root, READER)]
        missing += [line for bridge in self._own for line in unread.marked(root, _reader(bridge))]
        missing += [f"{path.name} is left over" for path in self._left_over()]
        faults = self._faults(found)
        missing += [line for lines in faults.values() for line in lines]
        missing += [f"the profile {p.name!r} would take a port" for p in self._foreign(found)]
        return missing

    def apply(self) -> None:
        """Bring our profiles up beside the installer's, and remove those when ours are up."""
        context, foreign = self._context, self._foreign(self._links())
        self._mark()
        files.write(context.root, self._files)
        in_the_way = [p for p in foreign if p.kind == "vlan"]
        try:
            for profile in in_the_way:  # the kernel has each VLAN of a port only once
                context.run(["nmcli", "connection", "down", "uuid", profile.uuid], ok=(0, 10))
            self._remove_left_over()
            self._load()
            self._bring_up()
        except CommandError:
            for profile in in_the_way:
                context.run(["nmcli", "connection", "up", "uuid", profile.uuid], ok=(0, 3, 4))
            raise
        for reader in (READER, *map(_reader, self._own)):
            unread.clear(context.root, reader)
        for profile in foreign:
            context.run(["nmcli", "connection", "delete", "uuid", profile.uuid])

    def _mark(self) -> None:
        """What has to be brought up whatever its links look like: all of it, or single bridges."""
        root = self._context.root
        if files.differing(root, self._below):
            unread.mark(root, READER)
            return
        for bridge, own in self._own.items():  # guests on the others keep their network
            if files.differing(root, own):
                unread.mark(root, _reader(bridge))

    def _left_over(self) -> list[Path]:
        """Profiles of ours that the plan no longer has; the crossover's are another step's."""
        folder = self._context.root / CONNECTIONS.relative_to("/")
        ours = {file.path.name for file in self._files}
        return [
            path
            for path in sorted(folder.glob(f"{OURS}*.nmconnection"))
            if path.name not in ours and not re.match(rf"{BOND_CONNECTION}(-port\d+)?\.", path.name)
        ]

    def _remove_left_over(self) -> None:
        for path in self._left_over():
            # 10: NetworkManager does not know it (nmcli(1), "Exit status").
            self._context.run(["nmcli", "connection", "delete", "id", path.stem], ok=(0, 10))
            path.unlink(missing_ok=True)

    def _load(self) -> None:
        """Have NetworkManager read its settings and our profiles."""
        run = self._context.run
        run(["nmcli", "general", "reload", "conf"])
        # A VLAN is made only where its parent's profile is known already.
        carriers = [str(file.path) for file in uplink.carriers(self._context.identity)]
        run(["nmcli", "connection", "load", *carriers])
        run(["nmcli", "connection", "reload"])

    def _bring_up(self) -> None:
        """Activate what differs and what was not read yet, and wait until nothing does.

        Raises CommandError when a profile doesn't come up.
        """
        identity, root = self._context.identity, self._context.root
        faults, everything = self._faults(self._links()), unread.marked(root, READER)
        wanted = [
            uplink.connection_of(bridge)
            for bridge in self._own
            if everything or bridge in faults or unread.marked(root, _reader(bridge))
        ]
        tagged = identity.pair.uplink.vlan is not None  # else br0 brings its port
        if tagged and (everything or BRIDGE in faults):
            wanted.insert(0, uplink.carrier_connection(identity))
        for connection in wanted:
            self._context.run(
                ["nmcli", "--wait", str(UP_S), "connection", "up", "id", connection],
                timeout_s=UP_S + 10,
            )
        waited = 0
        while self._faults(self._links()) and waited < SETTLE_S:
            self._sleep(1.0)
            waited += 1

    def _faults(self, found: Sequence[Link]) -> dict[str, list[str]]:
        """Bridge -> what differs, its way out of the local network included."""
        identity = self._context.identity
        ports = links.uplink_ports(identity, found)
        self._absent = [mac for mac in identity.me.uplink.ports if mac not in ports]
        if not ports:
            raise Refused(
                f"none of the uplink ports {', '.join(self._absent)} is in this machine;"
                f" it has {', '.join(link.mac for link in found if not link.kind) or 'no port'}",
                "compare the profile's uplink.ports with: ip -br link",
            )
        faults = links.uplink_faults(identity, found)
        if BRIDGE not in faults and not self._has_gateway():
            faults[BRIDGE] = [f"no way out by {identity.me.uplink.gateway}"]
        return faults

    def _has_gateway(self) -> bool:
        argv = ["ip", "-j", "-4", "route", "show", "default", "dev", BRIDGE]
        routes = json.loads(self._context.run(argv).stdout)
        return any(
            route.get("gateway") == self._context.identity.me.uplink.gateway for route in routes
        )

    def _foreign(self, found: Sequence[Link]) -> list[Profile]:
        me = self._context.identity.me
        macs = {*me.uplink.ports, *me.crossover_ports}
        names = {link.name for link in found if link.kind == "" and link.mac in macs}
        return profiles.foreign(self._context.run, names, macs)

    def _links(self) -> list[Link]:
        return links.parse(self._context.run(["ip", "-j", "-d", "address", "show"]).stdout)


def _reader(bridge: str) -> str:
    return f"{READER}, of {bridge},"
