"""Each node answers the peer's question "how far are you?" and asks the same.

Answers are state, not events: asking twice, or again after a crash, changes nothing, so nobody
has to know whether a last message arrived.
"""

import ipaddress
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from firstboot import VERSION
from firstboot.node import RENDEZVOUS_PORT, Identity, plan_digest
from firstboot.rendezvous import credentials, wire
from firstboot.rendezvous.plans import differences, key_digests

log = logging.getLogger(__name__)

PROTOCOL = 1
CONNECT_TIMEOUT_S = 5.0
TALK_TIMEOUT_S = 5.0
MOST_CONNECTIONS = 8  # at once from the peer's address, and as many from all others together
QUIET_S = 60.0
ACCEPT_AGAIN_S = 1.0
_BOOT_ID = re.compile(r"[\x20-\x7e]{1,64}")
# What OpenSSL's reason says, ours or the alert's, when it is a leaf that was not accepted.
_WHO = ("CERTIFICATE", "UNKNOWN_CA", "UNRECOGNIZED_NAME")


class NotMet(Exception):
    """The peer did not answer, or what answered is not the peer; says which."""


class NotOfThisPair(NotMet):
    """Its leaf, or ours, was not accepted."""


class Garbled(NotMet):
    """What came is no TLS that makes sense; of who is there it says nothing."""


@dataclass(frozen=True)
class State:
    """What the peer answered: how its plan differs from ours, the steps it has come through, and
    what it tells by topic; `kind` is that of the session it came by. `at` is when it said so, in
    nanoseconds of its own clock, which goes only forward while it has that boot id.
    """

    boot_id: str
    differences: tuple[str, ...]
    reached: frozenset[str]
    told: Mapping[str, Any] = field(repr=False)
    kind: str = credentials.INTRODUCTION
    at: int = 0


class Meeting:
    """This node's side: a responder thread on the bond's address, and questions to the peer."""

    def __init__(
        self, identity: Identity, root: Path, boot_id: str, *, port: int = RENDEZVOUS_PORT
    ) -> None:
        self._identity = identity
        self._root = root
        self._boot_id = boot_id
        self._port = port
        self._reached: set[str] = set()
        self._told: dict[str, Any] = {}
        self._private: dict[str, Any] = {}
        self._admit: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _kind, _told: {}
        self._peer: Optional[State] = None
        self._heard_at = 0.0
        self._lock = threading.Lock()
        self._listener: Optional[socket.socket] = None
        self._peers_slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._others_slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._quiet_until = 0.0

    def start(self) -> None:
        """Answer from now on, in the background. Starting twice is starting once."""
        if self._listener is not None:
            return
        self._server_context = credentials.server_context(self._root)
        listener = socket.create_server((_host(self._identity.me.crossover_address), self._port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Stop answering."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # close() alone leaves a thread in accept() alive on Linux.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def reach(self, step: str) -> None:
        """Tell the peer, when it asks, that this node has come through `step`."""
        with self._lock:
            self._reached.add(step)

    def tell(self, topic: str, value: Any, *, private: bool = False) -> None:
        """What the peer hears of `topic` whenever one of the two asks; `value` is JSON's.

        What is private goes only through sessions opened with the pair's own leaves.
        """
        with self._lock:
            (self._private if private else self._told)[topic] = value

    def admit(self, answer: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        """`answer` adds topics to what a caller hears, by the session's kind and what it told."""
        self._admit = answer

    def heard(self, topic: str, *, private: bool = False) -> Any:
        """What the peer last told of `topic`; None when it told nothing, or works on another plan.

        What is private counts only from a session opened with the pair's own leaves. It comes from
        outside: whoever takes it checks its shape first.
        """
        with self._lock:
            heard = self._peer
        if heard is None or heard.differences or (private and heard.kind != credentials.PAIR):
            return None
        return heard.told.get(topic)

    def agreed(self) -> bool:
        """Whether the peer was heard, and works on the same plan."""
        with self._lock:
            return self._peer is not None and not self._peer.differences

    def passed(self, step: str) -> bool:
        """Whether both nodes have reached `step`, the peer as far as it was last heard."""
        return step in self._reached and self.peer_reached(step)

    def peer_reached(self, step: str) -> bool:
        """Whether the peer has, as far as it was last heard."""
        with self._lock:
            heard = self._peer
        return heard is not None and not heard.differences and step in heard.reached

    def ask(self) -> State:
        """Ask the peer how far it is. Raises NotMet with the reason when there is no answer."""
        refused = NotMet("this node's leaf of the pair, /etc/ksbuild/pair/node.crt, is gone")
        for kind in credentials.open_kinds(self._root):
            try:
                return self._ask(kind)
            except (NotOfThisPair, Garbled) as why:
                refused = why  # the peer may be a switch behind, or ahead: try the other kind
        raise refused

    def _ask(self, kind: str) -> State:
        me, peer = self._identity.me, self._identity.peer
        where = f"{peer.name} at {_host(peer.crossover_address)}:{self._port}"
        context = credentials.client_context(self._root, kind)
        began = time.monotonic()
        try:
            with (
                socket.create_connection(
                    (_host(peer.crossover_address), self._port),
                    timeout=CONNECT_TIMEOUT_S,
                    source_address=(_host(me.crossover_address), 0),
                ) as plain,
                context.wrap_socket(plain, server_hostname=kind) as connection,
            ):
                self._check_name(credentials.peer_name(connection))
                wire.send(connection, self._state(kind))
                answer = wire.receive(connection, timeout_s=TALK_TIMEOUT_S)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise NotMet(f"no answer from {where}: it closed the connection") from None
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            if any(word in reason for word in _WHO):
                raise NotOfThisPair(credentials.refusal(kind, where, peer.name, reason)) from None
            raise Garbled(f"no answer from {where}: {reason}") from None
        except (OSError, wire.WireError) as error:
            raise NotMet(f"no answer from {where}: {error}") from None
        return self._heard(answer, kind, began)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                plain, address = listener.accept()
            except OSError as error:
                if self._listener is listener:  # not stop(), but a passing want of descriptors
                    self._note(f"no connection could be taken: {error}")
                    time.sleep(ACCEPT_AGAIN_S)
                continue
            # Whoever fills the places there are for others does not keep the peer out.
            from_peer = address[0] == _host(self._identity.peer.crossover_address)
            slots = self._peers_slots if from_peer else self._others_slots
            if not slots.acquire(blocking=False):
                plain.close()
                continue
            try:
                talk = (plain, address, slots)
                threading.Thread(target=self._answer, args=talk, daemon=True).start()
            except RuntimeError as error:  # a passing want of threads
                plain.close()
                slots.release()
                self._note(f"a connection could not be served: {error}")

    def _answer(self, plain: socket.socket, address: Any, slots: threading.Semaphore) -> None:
        began = time.monotonic()
        try:
            # The handshake as a whole, and receive() as a whole, end with this timeout.
            with plain:
                plain.settimeout(TALK_TIMEOUT_S)
                # A caller that is gone already would make wrap_socket() lose track of its socket.
                plain.recv(1, socket.MSG_PEEK)
                with self._server_context.wrap_socket(plain, server_side=True) as connection:
                    self._check_name(credentials.peer_name(connection))
                    kind = credentials.kind_of(connection)
                    said = wire.receive(connection, timeout_s=TALK_TIMEOUT_S)
                    self._heard(said, kind, began)
                    wire.send(connection, self._state(kind, self._admit(kind, said["told"])))
        except (OSError, wire.WireError, NotMet) as error:
            self._note(f"{address[0]} was turned away: {error}")
        finally:
            slots.release()

    def _check_name(self, name: Optional[str]) -> None:
        me, peer = self._identity.node, self._identity.peer.name
        if name == me:
            raise NotMet(
                f"the certificate names {name!r}, as this node's does, not {peer!r}: were both"
                " servers installed as the same node?"
            )
        if name != peer:
            raise NotMet(f"the certificate names {name!r}, not {peer!r}")

    def _state(self, kind: str, more: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        with self._lock:
            reached, told = sorted(self._reached), dict(self._told)
            if kind == credentials.PAIR:
                told.update(self._private)
            at = time.monotonic_ns()
        told.update(more or {})
        if kind == credentials.REJOIN:
            told = {topic: value for topic, value in told.items() if topic == credentials.LEAF}
        return {
            "protocol": PROTOCOL,
            "agent": VERSION,
            "boot_id": self._boot_id,
            "at": at,
            "digest": plan_digest(self._identity.pair),
            "keys": key_digests(self._identity.pair),
            "reached": reached,
            "told": told,
        }

    def _heard(self, answer: dict[str, Any], kind: str, began: float = float("inf")) -> State:
        """What the peer said last; not always `answer`, said on a connection begun then."""
        if kind not in credentials.open_kinds(self._root):
            raise NotOfThisPair(f"sessions of the {kind} closed while this one was open")
        state = _parse(answer, kind, differences(self._state(kind), answer))
        with self._lock:
            last = self._peer
            if last is not None and _older(state, last, begun_before=began < self._heard_at):
                return last
            self._peer, self._heard_at = state, time.monotonic()
        return state

    def _note(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:  # a port scanner must not fill the log
            self._quiet_until = now + QUIET_S
            log.warning("%s (more like it in the next minute are not logged)", text)


def _older(state: State, last: State, *, begun_before: bool) -> bool:
    """Whether `state` was overtaken by `last`, which was heard before it.

    Between two boots no clock tells; but what is said on a connection that was begun after `last`
    was heard is newer.
    """
    if state.boot_id == last.boot_id:
        return state.at < last.at
    return begun_before


def _parse(answer: dict[str, Any], kind: str, differing: tuple[str, ...]) -> State:
    reached, told = answer.get("reached"), answer.get("told")
    boot_id, at = answer.get("boot_id"), answer.get("at")
    if not isinstance(reached, list) or not all(isinstance(step, str) for step in reached):
        raise NotMet("the peer's answer makes no sense")
    if not isinstance(told, dict) or not isinstance(at, int):
        raise NotMet("the peer's answer makes no sense")
    if not isinstance(boot_id, str) or not _BOOT_ID.fullmatch(boot_id):
        raise NotMet("the peer's answer makes no sense")
    return State(boot_id, differing, frozenset(reached), told, kind, at)


def _host(address: str) -> str:
    return str(ipaddress.ip_interface(address).ip)
