"""What must hold of a pair at any time, whatever was cut, lost or swapped.

Deeds are judged as they happen, before they do; check() judges what lies about between two of them.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from firstboot import latches
from firstboot.journal import STATE
from tests.pair.powered import NAMES, OTHER

if TYPE_CHECKING:
    from tests.pair.world import World

LATCHES = (
    *(latches.SECRETS_STORED, latches.FENCING_PROVEN, latches.SEED_STARTED),
    *(latches.DATA_EXISTS, latches.COMPLETE),
)


# The same on both nodes: names, node ids, addresses, ports, lock table, keys (I9 of the faults).
ALIKE = (
    *("etc/corosync/corosync.conf", "etc/corosync/authkey", "etc/ksbuild/cib.xml"),
    *("etc/drbd.d/vmdata.res", "etc/dlm/dlm.conf"),
)


class Audit:
    """Of one world. `ever` are the (node, latch) that were once set by this installation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.ever: set[tuple[str, str]] = set()
        self.has_data = False  # something of the pair's was mounted, or may be

    def note_latches(self) -> None:
        for name, machine in self._world.machines.items():
            for latch in LATCHES:
                if machine.latched(latch):
                    self.ever.add((name, latch))
                    self.has_data |= latch in (latches.DATA_EXISTS, latches.COMPLETE)
                else:
                    assert (name, latch) not in self.ever, f"{name} lost its latch {latch}"

    def installed_again(self, name: str) -> None:
        self.ever = {(node, latch) for node, latch in self.ever if node != name}

    def _proven(self) -> None:
        for name in self._honest(NAMES):
            for latch in (latches.SECRETS_STORED, latches.FENCING_PROVEN):
                assert self._world.machines[name].latched(latch), f"{name} has no {latch} yet"

    def _honest(self, names: Sequence[str]) -> list[str]:
        """What a node believes of a liar is not its own fault; what it does to its own disk is."""
        return [name for name in names if name != self._world.liar]

    def write(self, name: str, what: str) -> None:
        """Something new comes onto a node's data partition."""
        partition = self._world.machines[name].partition
        assert not partition.foreign, f"{what} on somebody's {partition.foreign}"
        assert not partition.data, f"{what} on a file system"
        self._proven()

    def seed(self, name: str, what: str) -> None:
        """The pair's data begins, or is made."""
        self.note_latches()
        world = self._world
        assert name == NAMES[0], f"{what} on the second node"
        assert not self.has_data or world.liar, f"{what}, and the pair has data"
        for node in self._honest(NAMES):
            foreign = world.machines[node].partition.foreign
            assert not foreign, f"{what} beside somebody's {foreign}"
            assert not world.cluster.members[node].running
        self._proven()

    def start(self, name: str) -> None:
        """The cluster starts on a node."""
        machine = self._world.machines[name]
        for latch in (latches.SECRETS_STORED, latches.FENCING_PROVEN, latches.DATA_EXISTS):
            assert machine.latched(latch), f"{name} starts the cluster without {latch}"
        key = machine.root / "etc/corosync/authkey"
        peers = self._world.machines[OTHER[name]].root / "etc/corosync/authkey"
        assert key.read_bytes()
        same = not peers.exists() or peers.read_bytes() == key.read_bytes()
        assert same or self._world.liar, "two keys for one cluster"

    def cib(self, name: str) -> None:
        """The configuration is loaded."""
        assert name == NAMES[0], "the second node loads the configuration"
        assert not self._world.cluster.cibs[name].loaded, "it is loaded twice"

    def fire(self, name: str, victim: str) -> None:
        """A node cuts the other's power by its agent."""
        world = self._world
        assert victim == OTHER[name], "it cuts its own power"
        for node in self._honest(NAMES):
            assert not world.cluster.members[node].running, "a cluster runs while fencing is tried"
            assert not world.drbd.resources[node].connection, "DRBD runs while fencing is tried"
        fired = sum("fence_ipmilan off" in line for line in world.fired[name])
        assert fired <= 1, "a third firing"
        world.fired[name].append("fence_ipmilan off")

    def check(self) -> None:
        """Between two deeds: latches, what is readable, secrets."""
        self.note_latches()
        secrets = self._world.secrets()
        seen = "\n".join(self._world.console)
        for machine in self._world.machines.values():
            folder = machine.root / STATE
            for path in folder.iterdir():
                seen += path.read_text()
            for name in ("RESULT", "status.json", "cabling.json", "rehearsal.json", "report.json"):
                machine.told(name)
            result = machine.told("RESULT")
            if result is not None and result["verdict"] in ("refused", "failed"):
                assert result["evidence"], "a stop without evidence"
                assert result["next"], "a stop without a next command"
            for path in (machine.root / "etc").rglob("*"):
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode) and mode & stat.S_IROTH:
                    seen += path.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in seen], "a secret shows"
        self._foreign_is_whole()

    def _foreign_is_whole(self) -> None:
        for name, machine in self._world.machines.items():
            found = machine.partition
            if found.was not in ("blank", "wiped", "ours"):
                assert found.foreign == found.was, f"{name}: {found.was} was written to"
                assert found.metadata is None
                assert not found.data

    def alike(self) -> None:
        """Of a pair that came through: both have the same, and each thing was done once."""
        world = self._world
        one, two = (world.machines[name] for name in NAMES)
        for path in ("authkey", "drbd"):
            where = f"etc/ksbuild/secrets/{path}"
            assert (one.root / where).read_bytes() == (two.root / where).read_bytes()
        assert one.told("RESULT")["digest"] == two.told("RESULT")["digest"]
        assert one.told("report.json") == two.told("report.json")
        assert one.partition.data == two.partition.data != ""
        assert world.cluster.loads == [NAMES[0]]
        for same in ALIKE:
            assert (one.root / same).read_bytes() == (two.root / same).read_bytes(), same
        assert not one.partition.half
        assert not two.partition.half
        json.dumps(one.told("status.json"))
