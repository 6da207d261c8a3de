"""DRBD 8.4 on two data partitions, as far as the agent can see it: states, generations, syncs.

Handshakes follow drbd_uuid_compare() and drbd_sync_handshake() of drbd-8.4.11 (drbd_receiver.c);
/proc/drbd and get-gi are printed in the shape of tests/firstboot/recorded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

JUST_CREATED = 4
SYNC_S = 25.0
SIZE, SUPERBLOCK, MIDDLE = 4 << 20, 65536, 1 << 20
_HEAD = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 059B1B470318F053F5077D5 \n"
_COUNTS = "    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n"
_SYNCING = (
    "\t[>....................] sync'ed:  2.1% (194104/194516)K\n"
    "\tfinish: 0:00:20 speed: 412 (412) K/sec\n"
)


@dataclass
class Metadata:
    """Current, bitmap, two of history; whether the disk is consistent, its Primary died."""

    uuids: list[int] = field(default_factory=lambda: [JUST_CREATED, 0, 0, 0])
    consistent: bool = False
    crashed_primary: bool = False

    def print(self) -> str:
        flags = f"{int(self.consistent)}:{int(self.consistent)}:0:1:0:0:0"
        return "".join(f"{uuid:016X}:" for uuid in self.uuids) + flags + "\n"

    def begin(self, uuid: int) -> None:
        """A new generation; the one before it is what a peer that is away still has."""
        self.uuids = [uuid, self.uuids[0], *self.uuids[1:3]]


@dataclass
class Partition:
    """What lies on a data partition; `data` is the file system, `foreign` somebody else's."""

    path: Path
    foreign: str = ""
    data: str = ""
    half: bool = False  # mkfs was cut off
    metadata: Metadata | None = None
    half_metadata: bool = False  # create-md was cut off
    was: str = "blank"  # when it came into the machine

    def lay(self) -> None:
        """Write what a look at the bytes would see."""
        with self.path.open("wb") as out:
            out.truncate(SIZE)
            for there, place in (
                (self.foreign, 0),
                (self.data, SUPERBLOCK),
                (self.half, MIDDLE),
                (self.metadata or self.half_metadata, SIZE - 4096),
            ):
                if there:
                    out.seek(place)
                    out.write(b"x" * 512)


@dataclass
class Resource:
    """vmdata on one node as its kernel runs it."""

    connection: str = ""  # "" not up
    disk: str = ""
    role: str = "Secondary"
    secret: str = ""
    held_open: int = 0  # demotions that fail before one goes through


class Replicated:
    """Both nodes' resources. `after` calls back later; `linked`: whether the cables are good."""

    def __init__(
        self,
        partitions: dict[str, Partition],
        linked: Callable[[], bool],
        after: Callable[[float, Callable[[], None]], None],
        changed: Callable[[], None],
    ) -> None:
        self.partitions = partitions
        self.resources = {name: Resource() for name in partitions}
        self.seeds: list[str] = []  # who began data, and how
        self._linked, self._after, self._changed = linked, after, changed
        self._uuids = itertools.count(0xA000, 0x10)
        self._session = 0

    def other(self, name: str) -> str:
        return next(node for node in self.partitions if node != name)

    def metadata(self, name: str) -> Metadata:
        found = self.partitions[name].metadata
        assert found is not None
        return found

    def adjust(self, name: str, secret: str) -> str:
        """Attach, and connect; the reason why it can't."""
        if self.partitions[name].metadata is None:
            return "No valid meta data found"
        mine = self.resources[name]
        if not mine.connection:
            state = "Consistent" if self.metadata(name).consistent else "Inconsistent"
            self.resources[name] = mine = Resource("WFConnection", state)
        mine.secret = secret
        if mine.connection == "StandAlone":
            mine.connection = "WFConnection"
        self.meet()
        return ""

    def down(self, name: str, *, crashed: bool = False) -> None:
        """The resource stops, or its node did."""
        mine = self.resources[name]
        if mine.connection and crashed and mine.role == "Primary":
            self.metadata(name).crashed_primary = True
        self.resources[name] = Resource()
        self.part()

    def part(self) -> None:
        """The connection is gone; a Primary goes on with a generation of its own."""
        for name, mine in self.resources.items():
            if mine.connection not in ("", "WFConnection", "StandAlone"):
                mine.connection = "WFConnection"
                self._session += 1
                if mine.role == "Primary" and mine.disk == "UpToDate":
                    self.metadata(name).begin(next(self._uuids))
        self._changed()

    def meet(self) -> None:
        """Two that wait for each other connect, if the cables are good."""
        (one, mine), (two, theirs) = self.resources.items()
        if mine.connection != "WFConnection" or theirs.connection != "WFConnection":
            self._changed()
            return
        if not self._linked():
            self._changed()
            return
        if mine.secret != theirs.secret:
            mine.connection = theirs.connection = "StandAlone"
            self._changed()
            return
        direction = self._handshake(one, two)
        self._session += 1
        if direction is None:
            mine.connection = theirs.connection = "StandAlone"
        elif direction == 0:
            mine.connection = theirs.connection = "Connected"
            for state in (mine, theirs):
                state.disk = "Inconsistent" if state.disk == "Inconsistent" else "UpToDate"
        else:
            self._sync(*((one, two) if direction > 0 else (two, one)))
        self._changed()

    def _handshake(self, one: str, two: str) -> int | None:
        """1: the first is the source, -1: the target; None: they give each other up."""
        mine, theirs = self.metadata(one), self.metadata(two)
        found = _compare(mine, theirs)
        if found is not None and mine.consistent != theirs.consistent:
            return 1 if mine.consistent else -1
        return found

    def _sync(self, source: str, target: str) -> None:
        of, to = self.metadata(source), self.metadata(target)
        assert of.consistent, "a source without data"
        if of.uuids[1] in (0, JUST_CREATED):
            of.uuids[1] = next(self._uuids)
        to.uuids[:2], to.consistent = [of.uuids[1], 0], False
        self.resources[source].connection, self.resources[target].connection = (
            *("SyncSource", "SyncTarget"),
        )
        self.resources[source].disk, self.resources[target].disk = "UpToDate", "Inconsistent"
        session = self._session

        def finish() -> None:
            if self._session == session and self.resources[target].connection == "SyncTarget":
                self._finish(source, target)

        self._after(SYNC_S, finish)

    def _finish(self, source: str, target: str) -> None:
        of = self.metadata(source)
        of.uuids = [of.uuids[0], 0, of.uuids[1], of.uuids[2]]
        of.crashed_primary = False
        here, there = self.partitions[source], self.partitions[target]
        there.data, there.half = here.data, here.half
        there.metadata = replace(of, uuids=list(of.uuids))
        there.lay()
        for name in (source, target):
            self.resources[name].connection, self.resources[name].disk = "Connected", "UpToDate"
        self._changed()

    def begin(self, name: str, how: str, tick: Callable[[], None]) -> str:
        """new-current-uuid --clear-bitmap, or primary --force; the reason why it can't."""
        mine, theirs = self.resources[name], self.resources[self.other(name)]
        if how == "--clear-bitmap" and mine.connection != "Connected":
            return "Need to be connected"
        self.seeds.append(f"{name} {how}")
        uuid = next(self._uuids)
        self.metadata(name).begin(uuid)
        self.metadata(name).uuids[1:] = [0, 0, 0]
        self.metadata(name).consistent = True
        mine.disk = "UpToDate"
        try:
            tick()
        finally:  # the kernel goes on without the agent, but not without power
            if mine.connection == "Connected" and self.resources[name] is mine:
                if how == "--clear-bitmap":
                    peer = self.metadata(self.other(name))
                    peer.uuids, peer.consistent, theirs.disk = [uuid, 0, 0, 0], True, "UpToDate"
                else:
                    self._session += 1
                    self._sync(name, self.other(name))
            self._changed()
        return ""

    def promote(self, name: str) -> str:
        mine = self.resources[name]
        if mine.disk != "UpToDate":
            return "Need access to UpToDate data"
        mine.role = "Primary"
        self._changed()
        return ""

    def demote(self, name: str) -> str:
        mine = self.resources[name]
        if mine.role == "Primary" and mine.held_open:
            mine.held_open -= 1
            return "Device is held open by someone"
        mine.role = "Secondary"
        self._changed()
        return ""

    def written(self, name: str, *, data: str | None = None, half: bool) -> None:
        """A Primary wrote; so does its peer, as long as they are connected."""
        assert self.resources[name].role == "Primary"
        connected = self.resources[name].connection not in ("WFConnection", "StandAlone")
        for node in (name, *([self.other(name)] if connected else [])):
            partition = self.partitions[node]
            partition.half, partition.data = half, partition.data if data is None else data
            partition.lay()

    def print(self, name: str) -> str:
        """/proc/drbd on that node."""
        mine, theirs = self.resources[name], self.resources[self.other(name)]
        if not mine.connection:
            return _HEAD
        if mine.connection in ("WFConnection", "StandAlone"):
            role, disk, flags = "Unknown", "DUnknown", "r----s"
        else:
            role, disk, flags = theirs.role, theirs.disk, "r-----"
        states = f"ro:{mine.role}/{role} ds:{mine.disk}/{disk} C {flags}"
        syncing = _SYNCING if mine.connection.startswith("Sync") else ""
        return f"{_HEAD} 0: cs:{mine.connection} {states}\n{_COUNTS}{syncing}"


def _compare(mine: Metadata, theirs: Metadata) -> int | None:
    """drbd_uuid_compare(): 1 source, 0 equal, -1 target, None split brain or unrelated."""
    me, peer = mine.uuids, theirs.uuids
    if me[0] == peer[0] == JUST_CREATED:
        return 0
    if me[0] == JUST_CREATED:
        return -1
    if peer[0] == JUST_CREATED:
        return 1
    if me[0] == peer[0]:
        return int(mine.crashed_primary) - int(theirs.crashed_primary)
    if me[0] in (u for u in peer[1:] if u):
        return -1
    if peer[0] in (u for u in me[1:] if u):
        return 1
    return None
