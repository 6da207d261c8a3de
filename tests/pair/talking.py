"""The wire between two played machines: the real Meeting and the real Board, without sockets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstboot.cabling import Board, Cables
from firstboot.facts import Port
from firstboot.hellos import KEY, Hellos
from firstboot.node import Identity
from firstboot.rendezvous import credentials
from firstboot.rendezvous.session import Meeting, NotMet, NotOfThisPair, State
from tests.firstboot.conftest import MACS, PEER_MACS
from tests.pair.powered import OTHER

if TYPE_CHECKING:
    from tests.pair.world import World

CABLES = {**dict(zip(MACS, PEER_MACS, strict=True)), **dict(zip(PEER_MACS, MACS, strict=True))}


class PlayedMeeting(Meeting):
    """The real one but for the wire; what it answers to is the medium's or the pair's leaf."""

    def __init__(self, world: World, identity: Identity, root: Path, boot_id: str) -> None:
        super().__init__(identity, root, boot_id)
        self.root, self.name, self._world = root, identity.node, world
        self.answers = False

    def start(self) -> None:
        if "ks-bond0" not in self._world.machines[self.name].up:
            raise OSError("Cannot assign requested address")
        self.answers = True

    def _ask(self, kind: str) -> State:
        world = self._world
        world.tick(f"ask by {kind}")
        peer = world.meetings.get(self._identity.peer.name)
        if peer is None or not peer.answers or not world.linked or world.loses("question"):
            raise NotMet("nobody answers")
        if not self._trusted(peer, kind):
            raise NotOfThisPair("another leaf")
        peer._heard(self._wire(kind), kind)
        answer = peer._wire(kind)
        world.tick("answer on its way")
        if world.loses("answer"):
            raise NotMet("cut off")
        return self._heard(answer, kind)

    def _trusted(self, peer: PlayedMeeting, kind: str) -> bool:
        if kind not in credentials.open_kinds(peer.root):
            return False
        sides = [(self.root, peer.root), (peer.root, self.root)]
        return kind == credentials.INTRODUCTION or all(_line(a, 1) == _line(b, 2) for a, b in sides)

    def _wire(self, kind: str) -> dict[str, Any]:
        sent = json.dumps(self._state(kind))
        if kind == credentials.INTRODUCTION:
            assert not [s for s in self._world.secrets() if s in sent], (
                "secrets by the introduction"
            )
        parsed: dict[str, Any] = json.loads(sent)
        if self.name == self._world.liar:
            parsed = self._world.lie(parsed)
        self._world.said.append((self.name, kind, parsed, self._world.now))
        return parsed


def _line(root: Path, what: int) -> str:
    """1: which CA key signed a node's leaf; 2: that of the CA it trusts. Played openssl's."""
    name = {1: "node.crt", 2: "ca.crt"}[what]
    return (root / "etc/ksbuild/pair" / name).read_text().splitlines()[what]


class PlayedHellos(Hellos):
    """The real Board on three cables; hellos go to and fro whenever somebody looks."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__()
        self._world, self._name = world, name
        self.talks = False

    @property
    def answering(self) -> Cables | None:
        return self._board.chosen if self.talks and self._board else None

    def start(
        self, identity: Identity, root: Path, ports: Sequence[Port], chosen: Cables | None
    ) -> None:
        key = (root / KEY).read_bytes().strip()
        now = self._world.now
        if self._board is None:
            names = (identity.pair.id, identity.node, identity.peer.name)
            self._board = Board(*names, key, self._world.session())
            self._board.expect((*identity.peer.uplink.ports, *identity.peer.crossover_ports))
        self._board.watch([port.mac for port in ports], now)
        self._board.own = frozenset(port.mac for port in ports)
        self._board.chosen = chosen
        self.talks = True

    def stop(self) -> None:
        self.talks = False

    def decide(self, *, first: bool) -> Cables | None:
        self._exchange()
        return self._board.decide(self._world.now, first=first) if self._board else None

    def verdicts(self) -> Any:
        now = self._world.now
        board = self._board
        return {} if board is None else {mac: board.verdict(mac, now) for mac in board.ports}

    def _exchange(self) -> None:
        """Each port says hello and hears the answer, unless it is in use, and so quiet."""
        peer = self._world.hellos.get(OTHER[self._name])
        if self._board is None or not self.talks or not self._world.linked:
            return
        if peer is None or peer._board is None or not peer.talks:
            return
        quiet = {own for own, _ in self._board.chosen or ()}
        for mac in self._board.ports:
            if mac not in quiet and CABLES[mac] in peer._board.ports:
                self._speak(peer, mac)

    def _speak(self, peer: PlayedHellos, mac: str) -> None:
        now, mine, theirs = self._world.now, self._board, peer._board
        assert mine is not None
        assert theirs is not None
        faces = CABLES[mac]
        for _ in range(2):  # there and back, so that each names a hello of the other
            if theirs.receive(faces, mac, mine.hello(mac, now, ask=True), now):
                mine.receive(mac, faces, theirs.hello(faces, now, ask=False), now)
