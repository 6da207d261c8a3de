"""Hellos as values: what a port concludes of what it hears, without a wire."""

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Optional

import pytest

from firstboot.cabling import (
    FORGET_S,
    FRAME_BYTES,
    FRESH_S,
    LISTEN_S,
    SETTLE_S,
    Board,
    Cables,
    Hello,
    NotOurs,
    pack,
    unpack,
)

KEY = b"ksbuild-link-" + b"5e" * 32
A = [f"52:54:00:01:00:0{n}" for n in (1, 2, 3)]
B = [f"52:54:00:02:00:0{n}" for n in (1, 2, 3)]
STRANGER = "00:0C:29:00:00:01"
HELLO = Hello("pair", "julius", B[0], "5e", 1, None, False, True, (B[0],), None)


class Wires:
    """Two boards, and which port of the one leads to which of the other."""

    def __init__(self, wires: "dict[str, str]") -> None:
        self.now = 100.0
        self.a = Board("pair", "justinian", "julius", KEY, "aa")
        self.b = Board("pair", "julius", "justinian", KEY, "bb")
        for board, macs in ((self.a, A), (self.b, B)):
            board.own = frozenset(macs)
            board.watch(macs, self.now)
        self.wires = wires
        self.decided: Optional[Cables] = None
        self.deaf: set[str] = set()  # ports that receive nothing

    def second(self) -> None:
        """A second goes by; every port says hello."""
        self.now += 1.0
        back = {b: a for a, b in self.wires.items()}
        for here, there, wires in ((self.a, self.b, self.wires), (self.b, self.a, back)):
            for mac in here.ports:
                frame = here.hello(mac, self.now, ask=True)
                target = wires.get(mac)
                if target is not None and target not in self.deaf:
                    there.receive(target, mac, frame, self.now)
        self.decided = self.a.decide(self.now, first=True)

    def seconds(self, number: float) -> None:
        for _ in range(int(number)):
            self.second()

    def states(self) -> "list[str]":
        return [self.a.verdict(mac, self.now).state for mac in A]

    def why(self, number: int) -> str:
        return self.a.verdict(A[number], self.now).why


def straight() -> Wires:
    return Wires(dict(zip(A, B)))


def test_three_good_cables() -> None:
    wires = straight()
    wires.seconds(2)
    assert wires.states() == ["listening"] * 3, "a stranger may yet speak"
    wires.seconds(LISTEN_S)
    assert wires.states() == ["good"] * 3
    wires.seconds(2)
    chosen = wires.a.decide(wires.now, first=True)
    assert chosen == tuple(zip(A, B))
    assert wires.b.decide(wires.now, first=False) is None
    wires.a.chosen = chosen
    wires.second()
    assert wires.b.decide(wires.now, first=False) == tuple(zip(B, A))


def test_swapped_cables_are_as_good() -> None:
    wires = Wires({A[0]: B[2], A[1]: B[0], A[2]: B[1]})
    wires.seconds(LISTEN_S + 4)
    assert wires.a.decide(wires.now, first=True) == ((A[0], B[2]), (A[1], B[0]), (A[2], B[1]))
    assert wires.why(0) == f"faces {B[2]} of julius"


def test_a_dead_cable_is_waited_for_and_then_left_out() -> None:
    wires = Wires({A[0]: B[0], A[2]: B[2]})
    wires.a.ports[A[1]].link = False
    wires.seconds(LISTEN_S + 4)
    assert wires.states() == ["good", "dead", "good"]
    assert wires.decided is None
    wires.seconds(SETTLE_S)
    assert wires.decided == ((A[0], B[0]), (A[2], B[2]))


def test_nobody_there() -> None:
    wires = Wires({})
    wires.seconds(600)
    assert wires.states() == ["silent"] * 3
    assert wires.decided is None


def test_a_cable_that_carries_one_way() -> None:
    wires = straight()
    wires.deaf = {B[1]}
    wires.seconds(LISTEN_S + SETTLE_S + 4)
    assert wires.states() == ["good", "one-way", "good"]
    assert wires.b.verdict(B[1], wires.now).state == "silent"
    assert wires.why(1) == f"hears {B[1]} of julius, which hears nothing from here"
    assert wires.decided == ((A[0], B[0]), (A[2], B[2]))


def test_a_third_party_disqualifies_at_either_end() -> None:
    wires = straight()
    wires.b.frame(B[1], STRANGER, wires.now + LISTEN_S)
    wires.seconds(LISTEN_S + SETTLE_S + 4)
    assert wires.states() == ["good"] * 3, "this end has seen nothing"
    assert wires.b.verdict(B[1], wires.now).why == f"sees {STRANGER}"
    assert wires.decided == ((A[0], B[0]), (A[2], B[2]))
    wires.seconds(FORGET_S)
    assert len(wires.a.agreed(wires.now)) == 3, "somebody has put the cable right"


def test_the_peers_other_addresses_are_no_strangers() -> None:
    wires = straight()
    wires.b.own |= {"02:00:00:00:00:99"}
    wires.a.frame(A[0], "02:00:00:00:00:99", wires.now)
    wires.seconds(LISTEN_S + 2)
    assert wires.states()[0] == "good"


def test_two_ports_at_the_other_end_are_no_cable() -> None:
    wires = straight()
    for _ in range(10):
        wires.second()
        wires.a.receive(A[0], B[1], wires.b.hello(B[1], wires.now, ask=False), wires.now)
    assert wires.states()[0] == "shared"


def test_a_loop_and_a_twin() -> None:
    wires = straight()
    twin = Board("pair", "justinian", "julius", KEY, "cc")
    twin.watch(A, wires.now)
    wires.seconds(LISTEN_S + 2)
    wires.a.receive(A[0], A[1], wires.a.hello(A[1], wires.now, ask=True), wires.now)
    wires.a.receive(A[2], A[2], twin.hello(A[2], wires.now, ask=True), wires.now)
    assert wires.states() == ["loop", "good", "twin"]


@pytest.mark.parametrize("claimed", ["other", "pair"])
def test_another_pair_or_a_forged_hello(claimed: str) -> None:
    wires = straight()
    wires.seconds(LISTEN_S + 2)
    forged = pack(replace(HELLO, pair=claimed), b"ksbuild-link-" + b"00" * 32)
    assert not wires.a.receive(A[0], B[0], forged, wires.now)
    assert wires.states() == ["foreign", "good", "good"]
    assert f"claim pair {claimed}" in wires.why(0)


def test_a_replay_of_this_session_or_of_an_earlier_one_proves_nothing() -> None:
    wires = straight()
    recorded = []
    for _ in range(4):
        wires.second()
        recorded.append(wires.b.hello(B[0], wires.now, ask=True))
        wires.a.receive(A[0], B[0], recorded[-1], wires.now)
    wires.wires = {}
    wires.seconds(FRESH_S + LISTEN_S)
    assert wires.states()[0] == "silent"
    for frame in recorded:
        assert not wires.a.receive(A[0], B[0], frame, wires.now)
    assert wires.states()[0] == "silent", "each was heard before"
    again = Board("pair", "justinian", "julius", KEY, "a2")  # this node after a restart
    again.watch(A, wires.now)
    wires.now += LISTEN_S
    for frame in recorded:
        again.hello(A[0], wires.now, ask=True)
        again.receive(A[0], B[0], frame, wires.now)
    assert again.verdict(A[0], wires.now).state == "one-way", "they name an earlier session"
    assert again.decide(wires.now, first=True) is None


def test_an_earlier_sessions_replay_does_not_disturb() -> None:
    wires = straight()
    earlier = Board("pair", "julius", "justinian", KEY, "b0")
    earlier.watch(B, wires.now)
    recorded = [earlier.hello(B[0], wires.now, ask=True) for _ in range(40)]
    wires.seconds(LISTEN_S + 2)
    for frame in recorded:
        wires.a.receive(A[0], B[0], frame, wires.now)
        wires.second()
        assert wires.states() == ["good"] * 3
        assert wires.b.verdict(B[0], wires.now).state == "good", "it is still answered itself"


def test_a_hello_that_was_held_back_proves_nothing() -> None:
    wires = straight()
    wires.seconds(2)
    wires.deaf = {A[0]}
    wires.seconds(1)
    held = wires.b.hello(B[0], wires.now, ask=True)  # names a hello of ours from a second ago
    wires.seconds(20)
    wires.a.receive(A[0], B[0], held, wires.now)
    assert wires.states() == ["one-way", "good", "good"]


def test_what_is_no_hello() -> None:
    good = pack(HELLO, KEY)
    assert unpack(good + bytes(40), KEY) == HELLO
    body = json.dumps({"pair": "x"}).encode()
    unfit = b"ksbuild1" + len(body).to_bytes(2, "big")
    unfit += hmac.new(KEY, body, hashlib.sha256).digest() + body
    for payload in (b"", b"ksbuild1", good[:-1], bytes(60), good.replace(b"julius", b"juliet"),
                    unfit, b"ksbuild1" + b"\xff" * 9000):  # fmt: skip
        with pytest.raises(NotOurs):
            unpack(payload, KEY)
    shouting = pack(replace(HELLO, pair="\x1b[2J" + "x" * 99), b"other")
    with pytest.raises(NotOurs) as caught:
        unpack(shouting, KEY)
    assert caught.value.pair == "2J" + "x" * 32


def test_a_hello_fits_into_a_frame() -> None:
    wires = straight()
    wires.a.own = frozenset(f"02:00:00:00:{n // 256:02X}:{n % 256:02X}" for n in range(900))
    assert len(wires.a.hello(A[0], wires.now, ask=True)) <= FRAME_BYTES


def test_a_flood_of_strangers_is_remembered_in_part() -> None:
    wires = straight()
    for n in range(100_000):
        wires.a.frame(A[0], f"02:00:00:{n >> 16:02X}:{n >> 8 & 255:02X}:{n & 255:02X}", wires.now)
    assert len(wires.a.ports[A[0]].strangers) == 32
    assert wires.states()[0] == "third-party"


def test_the_second_node_follows_only_what_fits_its_ports() -> None:
    wires = straight()
    wires.seconds(LISTEN_S + 2)
    wires.a.chosen = ((A[0], "52:54:00:09:00:09"),)
    wires.second()
    assert wires.b.decide(wires.now, first=False) is None
