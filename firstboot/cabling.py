"""Which port of the peer does each crossover cable lead to? Hellos, and what follows. Pure.

Each port sends hellos: Ethernet frames of the local experimental type, with an HMAC under the
pair's link key. A hello tells who sends it from which port, and which hello of ours came to that
port last. One that names a recent hello of ours is a proof that the cable carries both ways, and no
replay: our session's number is new at every start.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Optional

from firstboot import strictjson

ETHERTYPE = 0x88B5  # IEEE Std 802, "Local Experimental Ethertype 1"
EVERY_S = 1.0  # how often a port that is being looked at says hello
FRESH_S = 5.0  # what was heard longer ago does not count
LISTEN_S = 6.0  # a port listens so long for strangers before it is good
SETTLE_S = 15.0  # a first good cable waits so long for the others
FORGET_S = 60.0  # a stranger is remembered so long
FRAME_BYTES = 1400  # of one hello at most; below every link's MTU
RECENT = 8  # hellos of ours, of which the peer must name one
MOST_STRANGERS = 32  # remembered per port
_MAGIC, _DIGEST = b"ksbuild1", 32

Cables = tuple[tuple[str, str], ...]  # our port's MAC, the peer's


class NotOurs(ValueError):
    """A hello without the pair's key; `pair` is what it says of itself, and proves nothing."""

    def __init__(self, pair: str) -> None:
        super().__init__(f"a hello of pair {pair or 'unknown'}")
        self.pair = pair


@dataclass(frozen=True)
class Heard:
    """The other side's hello that a port heard last."""

    port: str
    session: str
    count: int


@dataclass(frozen=True)
class Hello:
    """One hello. MACs are permanent ones, in upper case with colons.

    `good`: the sender would use this cable. `ask`: it wants an answer. `macs` are all addresses of
    the sender's machine. `chosen`: the cables it uses, its own port first; None while undecided.
    """

    pair: str
    node: str
    port: str
    session: str
    count: int
    heard: Optional[Heard]
    good: bool
    ask: bool
    macs: tuple[str, ...]
    chosen: Optional[Cables]


def pack(hello: Hello, key: bytes) -> bytes:
    """The payload of a frame: magic, length, HMAC-SHA256, JSON."""
    body = json.dumps(asdict(hello), separators=(",", ":")).encode()
    digest = hmac.new(key, body, hashlib.sha256).digest()
    return _MAGIC + len(body).to_bytes(2, "big") + digest + body


def unpack(payload: bytes, key: bytes) -> Hello:
    """The hello in a payload, which may be padded. Raises NotOurs when the key is another's."""
    start = len(_MAGIC) + 2 + _DIGEST
    length = int.from_bytes(payload[len(_MAGIC) : len(_MAGIC) + 2], "big")
    body = payload[start : start + length]
    if payload[: len(_MAGIC)] != _MAGIC or len(body) != length or len(payload) > 2 * FRAME_BYTES:
        raise NotOurs("")
    digest = hmac.new(key, body, hashlib.sha256).digest()
    if not hmac.compare_digest(digest, payload[start - _DIGEST : start]):
        raise NotOurs(_claimed(body))
    try:
        hello: Hello = strictjson.value(Hello, json.loads(body), "hello")
    except (ValueError, RecursionError):
        raise NotOurs("") from None
    return hello


def _claimed(body: bytes) -> str:
    """The pair a hello claims, cut to what a log can bear."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    said = raw.get("pair") if isinstance(raw, Mapping) else None
    return "".join(c for c in str(said or "")[:36] if c.isalnum() or c == "-")


@dataclass(frozen=True)
class Verdict:
    """What a port is good for, in a word, and why, in words for people."""

    state: str
    why: str


@dataclass
class Port:
    """What one of our ports saw. Times are seconds of a clock that only goes forward."""

    mac: str
    since: float
    sent: int = 0
    link: bool = True
    last: Optional[Hello] = None  # authentic; whether it is fresh nobody knows
    last_at: float = 0.0
    proof: Optional[Hello] = None  # names a hello of ours
    proof_at: float = float("-inf")
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    faces: dict[str, float] = field(default_factory=dict)
    strangers: dict[str, float] = field(default_factory=dict)
    foreign: tuple[str, float] = ("", float("-inf"))
    loop: tuple[str, float] = ("", float("-inf"))
    twin_at: float = float("-inf")


class Board:
    """All ports of one node, and what it may conclude of them."""

    def __init__(self, pair: str, node: str, peer: str, key: bytes, session: str) -> None:
        self._pair, self._node, self._peer = pair, node, peer
        self._key, self._session = key, session
        self.ports: dict[str, Port] = {}
        self.own: frozenset[str] = frozenset()  # every MAC of this machine
        self.chosen: Optional[Cables] = None
        self._peers: frozenset[str] = frozenset()
        self._announced: Optional[Cables] = None
        self._first_good_at: Optional[float] = None

    def watch(self, macs: Sequence[str], now: float) -> None:
        """Look at these ports from now on; those that are known go on."""
        self.ports = {mac: self.ports.get(mac, Port(mac, now)) for mac in macs}

    def expect(self, macs: Sequence[str]) -> None:
        """MACs that are the peer's, from the profile."""
        self._peers |= frozenset(macs)

    def hello(self, mac: str, now: float, *, ask: bool) -> bytes:
        """The next hello of a port."""
        port = self.ports[mac]
        port.sent += 1
        heard = None
        if port.last is not None and now - port.last_at <= FRESH_S:
            heard = Heard(port.last.port, port.last.session, port.last.count)
        hello = Hello(
            *(self._pair, self._node, mac, self._session, port.sent, heard),
            good=self.verdict(mac, now).state == "good",
            ask=ask,
            macs=tuple(sorted(self.own)),
            chosen=self.chosen,
        )
        packed = pack(hello, self._key)
        if len(packed) > FRAME_BYTES:  # a machine with that many addresses names its ports alone
            packed = pack(replace(hello, macs=tuple(sorted(self.ports))), self._key)
        return packed

    def frame(self, mac: str, source: str, now: float) -> None:
        """Any other frame came in: whose is it?"""
        port = self.ports[mac]
        if source in self.own:
            return
        if source in port.strangers or len(port.strangers) < MOST_STRANGERS:
            port.strangers[source] = now

    def receive(self, mac: str, source: str, payload: bytes, now: float) -> bool:
        """A frame of the hellos' type came in. True when it is authentic and wants an answer."""
        port = self.ports[mac]
        self.frame(mac, source, now)
        try:
            hello = unpack(payload, self._key)
        except NotOurs as other:
            port.foreign = (other.pair, now)
            return False
        if hello.node == self._node and hello.pair == self._pair:
            if hello.session == self._session:
                port.loop = (hello.port, now)
            else:
                port.twin_at = now
            return False
        if (hello.pair, hello.node) != (self._pair, self._peer):
            port.foreign = (hello.pair, now)
            return False
        return self._hear(port, hello, now)

    def _hear(self, port: Port, hello: Hello, now: float) -> bool:
        origin = (hello.session, hello.port)
        if hello.count <= port.counts.get(origin, 0):
            return False  # a replay, or a duplicate
        if len(port.counts) > MOST_STRANGERS:
            port.counts.clear()
        port.counts[origin] = hello.count
        self._peers |= frozenset(hello.macs)  # the peer said so, whenever it was
        proven = port.proof if now - port.proof_at <= FRESH_S else None
        if proven is not None and hello.session != proven.session:
            return False  # the peer speaks now, so this is what it said in an earlier session
        port.last, port.last_at = hello, now
        port.faces[hello.port] = now
        if self._names_ours(port, hello.heard):
            port.proof, port.proof_at = hello, now
            self._announced = hello.chosen
        return hello.ask

    def _names_ours(self, port: Port, heard: Optional[Heard]) -> bool:
        """Whether the peer heard one of this port's last hellos."""
        if heard is None or (heard.port, heard.session) != (port.mac, self._session):
            return False
        return port.sent - RECENT < heard.count <= port.sent

    def verdict(self, mac: str, now: float) -> Verdict:
        """What this port is good for now."""
        port = self.ports[mac]
        if (bad := self._disqualified(port, now)) is not None:
            return bad
        proof = port.proof if now - port.proof_at <= FRESH_S else None
        if proof is not None:
            faces = sorted(name for name, at in port.faces.items() if now - at <= FRESH_S)
            if len(faces) > 1:
                return Verdict("shared", f"hears {' and '.join(faces)}: that is no cable")
            if now - port.since < LISTEN_S:
                return Verdict("listening", f"faces {proof.port} of {self._peer}")
            doubt = "" if proof.good else ", which does not call it good yet"
            return Verdict("good", f"faces {proof.port} of {self._peer}{doubt}")
        if now - port.since < LISTEN_S:
            return Verdict("listening", "nothing known yet")
        if port.last is not None and now - port.last_at <= FRESH_S:
            why = f"hears {port.last.port} of {self._peer}, which hears nothing from here"
            return Verdict("one-way", why)
        if not port.link:
            return Verdict("dead", "no link: no cable, or nothing at its other end")
        return Verdict("silent", f"has a link, hears nothing of {self._peer}")

    def _disqualified(self, port: Port, now: float) -> Optional[Verdict]:
        if now - port.twin_at <= FORGET_S:
            return Verdict("twin", f"leads to another server that calls itself {self._node}")
        if now - port.loop[1] <= FRESH_S:
            return Verdict("loop", f"leads back to this server's own port {port.loop[0]}")
        if now - port.foreign[1] <= FORGET_S:
            claimed = port.foreign[0] or "none that is known"
            return Verdict("foreign", f"hellos without this pair's key; they claim pair {claimed}")
        strangers = sorted(
            source
            for source, at in port.strangers.items()
            if now - at <= FORGET_S and source not in self._peers | self.own
        )
        if strangers:
            return Verdict("third-party", f"sees {', '.join(strangers[:3])}")
        return None

    def agreed(self, now: float) -> Cables:
        """The cables that both nodes call good, in the order the ports are watched."""
        found = []
        for mac, port in self.ports.items():
            proof = port.proof
            if proof is not None and proof.good and self.verdict(mac, now).state == "good":
                found.append((mac, proof.port))
        return tuple(found)

    def decide(self, now: float, *, first: bool) -> Optional[Cables]:
        """The cables to use, None while there is more to wait for.

        The first node decides and the second follows, so that both use the same: with packets dealt
        out in turn, a cable that only one side has in its bond loses every one that it is given.
        """
        if not first:
            return self._follow()
        good = self.agreed(now)
        if not good:
            self._first_good_at = None
            return None
        if self._first_good_at is None:
            self._first_good_at = now
        if len(good) < len(self.ports) and now - self._first_good_at < SETTLE_S:
            return None
        return good

    def _follow(self) -> Optional[Cables]:
        """The first node's choice from this side; None while it has none that fits our ports."""
        if not self._announced:
            return None
        ours = {own: theirs for theirs, own in self._announced}
        if not ours.keys() <= self.ports.keys():
            return None
        return tuple((mac, ours[mac]) for mac in self.ports if mac in ours)
