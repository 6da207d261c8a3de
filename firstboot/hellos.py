"""Says and hears hellos on the crossover ports, in the background, as long as the agent runs.

A port that is not decided on says hello every second and listens to whatever comes in. One in use
says nothing unasked, but for once when it is taken into use, and listens to hellos alone: DRBD's
traffic is none of its business. AF_PACKET reaches a port below its bond (packet(7)).
"""

import json
import logging
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from firstboot import strictjson
from firstboot.cabling import ETHERTYPE, EVERY_S, Board, Cables, Verdict
from firstboot.facts import Port
from firstboot.journal import STATE
from firstboot.node import Identity

log = logging.getLogger(__name__)

KEY = Path("etc/ksbuild/introduction/link.key")
FOUND = STATE / "cabling.json"  # [[our port's MAC, the peer's], ...]
_ALL = 0x0003  # linux/if_ether.h, ETH_P_ALL
_BROADCAST = b"\xff" * 6
_HEADER = struct.Struct("!6s6sH")
_FRAMES_AT_ONCE, _PAUSE_S = 64, 0.02  # bounds what a flood costs: 3200 frames a second
_ANSWER_S = EVERY_S / 2
_IDLE_S = 2 * EVERY_S  # where every port is in use, nothing is due


def read(root: Path) -> Optional[Cables]:
    """The cables that were found on this node; None when that is still to be done."""
    try:
        raw = json.loads((root / FOUND).read_text(encoding="utf-8"))
        cables: Cables = strictjson.value(Cables, raw, FOUND.name)
    except (FileNotFoundError, ValueError):
        return None
    return cables or None


class _Line:
    """One port's socket, and when it last spoke."""

    def __init__(self, port: Port, *, quiet: bool) -> None:
        self.port = port
        self.quiet = quiet
        self.spoke_at = float("-inf")
        protocol = ETHERTYPE if quiet else _ALL
        # Protocol 0 hears nothing until it is bound to its one port.
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self.socket.setblocking(False)
            self.socket.bind((port.name, protocol))
        except OSError:
            self.socket.close()
            raise


class Hellos:
    """This node's side of every crossover cable."""

    def __init__(self, sysfs: Path = Path("/sys/class/net")) -> None:
        self._sysfs = sysfs
        self._root = Path("/")
        self._lock = threading.Lock()
        self._board: Optional[Board] = None
        self._ports: dict[str, Port] = {}
        self._lines: dict[str, _Line] = {}
        self._thread: Optional[threading.Thread] = None
        self._stopping = threading.Event()

    @property
    def answering(self) -> Optional[Cables]:
        """The cables it answers on, in use; None while it says nothing, or still looks for them."""
        with self._lock:
            return self._board.chosen if self._thread and self._board else None

    def start(
        self, identity: Identity, root: Path, ports: Sequence[Port], chosen: Optional[Cables]
    ) -> None:
        """Talk on these ports from now on; again: with other ports, or another choice.

        Raises FileNotFoundError when the node has no link key.
        """
        self._root = root
        key = (root / KEY).read_bytes().strip()
        with self._lock:
            if self._board is None:
                names = (identity.pair.id, identity.node, identity.peer.name)
                self._board = Board(*names, key, os.urandom(16).hex())
                peer = identity.peer
                self._board.expect((*peer.uplink.ports, *peer.crossover_ports))
            self._ports = {port.mac: port for port in ports}
            self._board.watch([port.mac for port in ports], time.monotonic())
            self._board.chosen = chosen
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._talk, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Say nothing more."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join()

    def decide(self, *, first: bool) -> Optional[Cables]:
        """The cables to use, None as long as that is open."""
        with self._lock:
            if self._board is None:
                return None
            return self._board.decide(time.monotonic(), first=first)

    def verdicts(self) -> dict[str, Verdict]:
        """MAC -> what that port is good for."""
        now = time.monotonic()
        with self._lock:
            board = self._board
            return {} if board is None else {mac: board.verdict(mac, now) for mac in board.ports}

    def _talk(self) -> None:
        with selectors.DefaultSelector() as selector:
            while not self._stopping.is_set():
                self._keep_lines(selector)
                for mac, line in list(self._lines.items()):
                    if not line.quiet and time.monotonic() - line.spoke_at >= EVERY_S:
                        self._say(mac, ask=True)
                idle = all(line.quiet for line in self._lines.values())
                for ready, _ in selector.select(timeout=_IDLE_S if idle else _ANSWER_S):
                    self._hear(ready.data)
                self._stopping.wait(_PAUSE_S)
            for mac in list(self._lines):
                self._close(selector, mac)

    def _keep_lines(self, selector: selectors.BaseSelector) -> None:
        """A socket for each port, of the kind it now needs; the board knows which have a link."""
        with self._lock:
            board = self._board
            if board is None:
                return
            used = {own for own, _ in board.chosen or ()}
            ports = dict(self._ports)
            board.own = self._addresses() | frozenset(ports)
            for mac in board.ports:
                board.ports[mac].link = self._has_link(ports[mac].name)
        for mac in [mac for mac in self._lines if mac not in ports]:
            self._close(selector, mac)
        for mac, port in ports.items():
            line = self._lines.get(mac)
            if line is not None and line.quiet == (mac in used) and line.port == port:
                continue
            self._close(selector, mac)
            try:
                line = _Line(port, quiet=mac in used)
            except OSError as error:  # the port went away; it is tried again
                log.debug("%s: %s", port.name, error)
                continue
            self._lines[mac] = line
            selector.register(line.socket, selectors.EVENT_READ, mac)
            self._say(mac, ask=True)

    def _close(self, selector: selectors.BaseSelector, mac: str) -> None:
        line = self._lines.pop(mac, None)
        if line is not None:
            selector.unregister(line.socket)
            line.socket.close()

    def _say(self, mac: str, *, ask: bool) -> None:
        line = self._lines[mac]
        chosen = read(self._root)
        with self._lock:
            if self._board is None or mac not in self._board.ports:
                return
            if self._board.chosen is not None:
                if chosen is None:  # another agent of this node looks anew; two voices confuse
                    return
                self._board.chosen = chosen
            payload = self._board.hello(mac, time.monotonic(), ask=ask)
        line.spoke_at = time.monotonic()
        source = line.socket.getsockname()[4]
        try:
            line.socket.send(_HEADER.pack(_BROADCAST, source, ETHERTYPE) + payload)
        except OSError as error:  # down, or full: the next one may get through
            log.debug("%s: %s", line.port.name, error)

    def _hear(self, mac: str) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            line = self._lines.get(mac)
            if line is None:
                return
            try:
                frame, (_, _, kind, _, _) = line.socket.recvfrom(4096)
            except OSError:  # nothing more, or the port is down
                return
            if kind == socket.PACKET_OUTGOING or len(frame) < _HEADER.size:
                continue
            if self._take(mac, frame) and time.monotonic() - line.spoke_at >= _ANSWER_S:
                self._say(mac, ask=False)

    def _take(self, mac: str, frame: bytes) -> bool:
        """Give a frame to the board; True when it wants an answer."""
        _, source, ethertype = _HEADER.unpack_from(frame)
        sender, now = source.hex(":").upper(), time.monotonic()
        with self._lock:
            if self._board is None or mac not in self._board.ports:
                return False
            if ethertype != ETHERTYPE:
                self._board.frame(mac, sender, now)
                return False
            return self._board.receive(mac, sender, frame[_HEADER.size :], now)

    def _addresses(self) -> frozenset[str]:
        """What this machine's interfaces are called on the wire now: a bond's ports change."""
        found = set()
        for folder in self._sysfs.iterdir():
            try:
                found.add((folder / "address").read_text(encoding="ascii").strip().upper())
            except OSError:
                continue  # a file (bonding_masters), or gone in the meantime
        return frozenset(found)

    def _has_link(self, name: str) -> bool:
        try:
            return (self._sysfs / name / "carrier").read_text(encoding="ascii").strip() == "1"
        except OSError:  # the kernel tells none of a port that is down
            return False
