"""br0 on the uplink, and the installer's own profiles gone once ours carry the network."""

import json
import time
from collections.abc import Sequence
from typing import Callable

from firstboot import files, links, profiles, unread
from firstboot.commands import CommandError
from firstboot.engine import Refused, Step
from firstboot.links import Link
from firstboot.node import BRIDGE
from firstboot.profiles import Profile
from firstboot.render import networkmanager
from firstboot.render.networkmanager import uplink
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
        self._files = (networkmanager.settings(), *uplink.render(context.identity))
        self._absent: Sequence[str] = ()

    def remark(self) -> str:
        """The planned ports that this machine does not have."""
        return f"no such port: {', '.join(self._absent)}" if self._absent else ""

    def check(self) -> Sequence[str]:
        """Files and links that differ, and profiles of others that would take our ports."""
        root, found = self._context.root, self._links()
        missing = [*files.differing(root, self._files), *unread.marked(root, READER)]
        faults = self._faults(found)
        missing += [line for lines in faults.values() for line in lines]
        missing += [f"the profile {p.name!r} would take a port" for p in self._foreign(found)]
        return missing

    def apply(self) -> None:
        """Bring our profiles up beside the installer's, and remove those when ours are up."""
        context, foreign = self._context, self._foreign(self._links())
        if differing := files.differing(context.root, self._files):
            unread.mark(context.root, READER)
            files.write(context.root, self._files)
        everything = bool(differing or unread.marked(context.root, READER))
        in_the_way = [p for p in foreign if p.kind == "vlan"]
        try:
            for profile in in_the_way:  # the kernel has each VLAN of a port only once
                context.run(["nmcli", "connection", "down", "uuid", profile.uuid], ok=(0, 10))
            self._load()
            self._bring_up(everything=everything)
        except CommandError:
            for profile in in_the_way:
                context.run(["nmcli", "connection", "up", "uuid", profile.uuid], ok=(0, 3, 4))
            raise
        unread.clear(context.root, READER)
        for profile in foreign:
            context.run(["nmcli", "connection", "delete", "uuid", profile.uuid])

    def _load(self) -> None:
        """Have NetworkManager read its settings and our profiles."""
        run = self._context.run
        run(["nmcli", "general", "reload", "conf"])
        # A VLAN is made only where its parent's profile is known already.
        carriers = [str(file.path) for file in uplink.carriers(self._context.identity)]
        run(["nmcli", "connection", "load", *carriers])
        run(["nmcli", "connection", "reload"])

    def _bring_up(self, *, everything: bool) -> None:
        """Activate what differs, or all of it, and wait until nothing does.

        Raises CommandError when a profile doesn't come up.
        """
        identity, faults = self._context.identity, self._faults(self._links())
        wanted = [
            uplink.connection_of(bridge.name)
            for bridge in uplink.bridges(identity)
            if everything or bridge.name in faults
        ]
        if wanted and identity.pair.uplink.vlan is not None:  # else br0 brings its port
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
