"""corosync and pacemaker on two nodes, as far as the agent can see them.

crm_mon is printed in the shape of tests/firstboot/pacemaker; the CIB is the text that was loaded.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace

from firstboot.node import Pair
from firstboot.render import cib, fencedevice

ONLINE_S, STARTED_S = 6.0, 3.0
BLANK = "<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration></cib>"


@dataclass(frozen=True)
class Cib:
    """The configuration a node has on its disk."""

    epoch: int = 0
    loaded: str = ""
    stopped: frozenset[str] = frozenset()


@dataclass
class Member:
    """One node's daemons."""

    running: bool = False
    online: bool = False
    quorate: bool = False
    devices: bool = False  # its fence devices are started
    mounted: bool = False
    applying: str = ""  # its attribute of that name


class Clustered:
    """Both nodes' cluster. `mount` is told of a mount that comes or goes, and says if it may."""

    def __init__(
        self,
        pair: Pair,
        after: Callable[[float, Callable[[], None]], None],
        promote: Callable[[str], bool],
        mount: Callable[[str, bool], None],
    ) -> None:
        self._pair, self._after, self._promote, self._mount = pair, after, promote, mount
        names = [node.name for node in pair.nodes]
        self.members = {name: Member() for name in names}
        self.cibs = {name: Cib() for name in names}
        self.loads: list[str] = []

    def other(self, name: str) -> str:
        return self._pair.peer_of(name).name

    def start(self, name: str) -> None:
        """systemctl start corosync pacemaker."""
        member = self.members[name]
        if not member.running:
            self.members[name] = member = Member(running=True)
            self._after(ONLINE_S, lambda: self._come_online(name, member))

    def stop(self, name: str) -> None:
        """The node is down, or fenced."""
        if self.members[name].mounted:
            self._mount(name, False)
        self.members[name] = Member()

    def reinstalled(self, name: str) -> None:
        self.cibs[name] = Cib()

    def _come_online(self, name: str, member: Member) -> None:
        if self.members[name] is not member:
            return
        member.online = True
        if self.members[self.other(name)].online:
            for node in self.members.values():
                node.quorate = True
            newest = max(self.cibs.values(), key=lambda found: found.epoch)
            self.cibs = dict.fromkeys(self.cibs, newest)
        self._after(STARTED_S, self.go_on)

    def go_on(self) -> None:
        """pacemaker does what it can now."""
        for name, member in self.members.items():
            if not (member.online and member.quorate and self.cibs[name].loaded):
                continue
            member.devices = True
            stopped = self.cibs[name].stopped
            if not member.mounted and not stopped and self._promote(name):
                member.mounted = True
                self._mount(name, True)
        if any(m.online and m.quorate and not m.mounted for m in self.members.values()):
            released = any(c.loaded and not c.stopped for c in self.cibs.values())
            if released:
                self._after(STARTED_S, self.go_on)

    def change(self, name: str, **changes: object) -> None:
        """Of the CIB, on every node that is online."""
        for node in {name, *(n for n, m in self.members.items() if m.online)}:
            found = self.cibs[node]
            self.cibs[node] = replace(found, epoch=found.epoch + 1, **changes)  # type: ignore[arg-type]
        self._after(STARTED_S, self.go_on)

    def load(self, name: str, text: str) -> None:
        """cibadmin --modify."""
        self.loads.append(name)
        self.change(name, loaded=text, stopped=frozenset(cib.CLONES))

    def query(self, name: str) -> str:
        """cibadmin --query."""
        found = self.cibs[name]
        if not found.loaded:
            return BLANK
        root = ET.fromstring(found.loaded)  # noqa: S314 - our own text
        for clone in root.iter("clone"):
            if clone.get("id") not in found.stopped:
                for meta in clone.findall("meta_attributes"):
                    for pair in meta.findall("nvpair"):
                        if pair.get("name") == "target-role":
                            meta.remove(pair)
        return ET.tostring(root, encoding="unicode")

    def print(self, name: str) -> str:
        """crm_mon --one-shot --output-as=xml on that node."""
        root = ET.Element("pacemaker-result", {"api-version": "2.25"})
        summary = ET.SubElement(root, "summary")
        present = self.members[name].online
        dc = {"present": str(present).lower()}
        if present:
            dc["with_quorum"] = str(self.members[name].quorate).lower()
        ET.SubElement(summary, "current_dc", dc)
        nodes = ET.SubElement(root, "nodes")
        for number, node in enumerate(self._pair.nodes, start=1):
            online = present and self.members[node.name].online
            state = {"online": online, "pending": False, "unclean": not present}
            words = {key: str(value).lower() for key, value in state.items()}
            ET.SubElement(nodes, "node", {"name": node.name, "id": str(number), **words})
        if self.cibs[name].loaded:
            self._print_resources(root, name)
        return ET.tostring(root, encoding="unicode")

    def _print_resources(self, root: ET.Element, name: str) -> None:
        resources = ET.SubElement(root, "resources")
        history = ET.SubElement(root, "node_history")
        for device in fencedevice.devices(self._pair):
            guard = self.other(device.target)
            active = self.members[guard].devices
            _resource(resources, device.id, "Started", [guard] if active else [])
            if active:
                _operation(history, guard, device.id, "0")
        for clone, primitive in cib.CLONES.items():
            stopped = clone in self.cibs[name].stopped
            more = {"target_role": "Stopped"} if stopped else {}
            within = ET.SubElement(resources, "clone", {"id": clone, **more})
            role = "Promoted" if primitive == cib.DRBD else "Started"
            for node, member in self.members.items():
                _resource(within, primitive, role, [node] if member.mounted else [])


def _resource(parent: ET.Element, name: str, role: str, nodes: list[str]) -> None:
    state = {"role": role if nodes else "Stopped", "active": str(bool(nodes)).lower()}
    found = ET.SubElement(parent, "resource", {"id": name, **state, "failed": "false"})
    for node in nodes:
        ET.SubElement(found, "node", {"name": node, "id": "1", "cached": "true"})


def _operation(history: ET.Element, node: str, resource: str, code: str) -> None:
    of_node = ET.SubElement(history, "node", {"name": node})
    of_resource = ET.SubElement(of_node, "resource_history", {"id": resource})
    ET.SubElement(
        of_resource, "operation_history", {"task": "monitor", "rc": code, "interval": "60000ms"}
    )
