"""What may lie between two nodes' crossover ports; runs in a network namespace of its own.

Argument: the name of a scenario below. Prints what both nodes found, as JSON.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from firstboot import cabling
from firstboot.node import Identity
from firstboot.steps.cabling import answer
from tests.firstboot.conftest import PEER_MACS, a_pair
from tests.firstboot.wires import PORTS, Node, cable, chatter, ip, raw, relay, together


def pair(*cables: "tuple[str, str]") -> "tuple[Node, Node]":
    for one, other in cables:
        cable(one, other)
    return Node("justinian"), Node("julius")


STRAIGHT = (("a1", "b1"), ("a2", "b2"), ("a3", "b3"))
# An ARP request of 10.0.0.99 for 10.0.0.1, from 00:0C:29:00:00:01.
ARP = bytes.fromhex("ffffffffffff 000c29000001 0806 0001080006040001 000c29000001 0a000063"
                    "000000000000 0a000001") + bytes(18)  # fmt: skip


def good() -> "tuple[Node, ...]":
    nodes = pair(*STRAIGHT)
    together(*nodes)
    return nodes


def dead() -> "tuple[Node, ...]":
    nodes = pair(STRAIGHT[0], ("a2", "x2"), ("b2", "y2"), STRAIGHT[2])
    ip("link", "set", "x2", "down")
    ip("link", "set", "y2", "down")
    together(*nodes)
    return nodes


def swapped() -> "tuple[Node, ...]":
    nodes = pair(("a1", "b2"), ("a2", "b1"), ("a3", "b3"))
    together(*nodes)
    return nodes


def third_party() -> "tuple[Node, ...]":
    """Port 3 of each node is in the office network instead."""
    nodes = pair(*STRAIGHT[:2], ("a3", "x3"), ("b3", "y3"))
    chatter("x3", ARP)
    together(*nodes)
    return nodes


def overheard() -> "tuple[Node, ...]":
    """Port 3 reaches the peer and somebody else: a switch lies between."""
    nodes = pair(*STRAIGHT[:2], ("a3", "x3"), ("b3", "y3"))
    relay("x3", "y3", lambda frame: [frame])
    relay("y3", "x3", lambda frame: [frame])
    chatter("y3", ARP)
    together(*nodes)
    return nodes


def another_pair() -> "tuple[Node, ...]":
    """A cable to a node of pair 00015, which has its own key and looks for its own peer."""
    nodes = pair(*STRAIGHT[:2], ("a3", "c3"), ("b3", "y3"))
    other = replace(a_pair(), id="00000000-0000-0000-0000-000000000015")
    third = Node("julius", Identity(1, "julius", other), "ksbuild-link-" + "00" * 32,
                 {"c3": PEER_MACS[2]})  # fmt: skip
    together(*nodes, third)
    return nodes


def twins() -> "tuple[Node, ...]":
    """Both servers were booted as the first node."""
    for one, other in STRAIGHT:
        cable(one, other)
    ports = replace(a_pair().nodes[0], crossover_ports=tuple(PORTS["julius"].values()))
    whole = replace(a_pair(), nodes=(ports, a_pair().nodes[1]))
    nodes = Node("justinian"), Node("justinian", Identity(1, "justinian", whole),
                                    ports=PORTS["julius"])  # fmt: skip
    together(*nodes, seconds=3.0)
    return nodes


def forged() -> "tuple[Node, ...]":
    """Hellos with everything right but the key."""
    nodes = pair(*STRAIGHT[:2], ("a3", "x3"), ("b3", "y3"))
    hello = cabling.Hello(nodes[0].identity.pair.id, "julius", PEER_MACS[2], "5e", 1, None, True,
                          True, PEER_MACS, None)  # fmt: skip
    payload = cabling.pack(hello, b"ksbuild-link-" + b"00" * 32)
    source = bytes.fromhex(PEER_MACS[2].replace(":", ""))
    chatter("x3", b"\xff" * 6 + source + b"\x88\xb5" + payload)
    together(*nodes)
    return nodes


def replayed() -> "tuple[Node, ...]":
    """Port 3 hears, again and again, what the peer said on cable 1, and never the peer."""
    nodes = pair(("a1", "x1"), ("b1", "y1"), STRAIGHT[1], ("a3", "x3"), ("b3", "y3"))
    tape: list[bytes] = []

    def passes(frame: bytes) -> "Sequence[bytes]":
        tape.append(frame)
        return [frame]

    relay("x1", "y1", lambda frame: [frame])
    relay("y1", "x1", passes)
    wire = raw("x3")

    def play() -> None:
        while True:
            for frame in list(tape[-20:]):
                wire.send(frame)
            time.sleep(0.05)

    threading.Thread(target=play, daemon=True).start()
    together(*nodes)
    return nodes


def one_way() -> "tuple[Node, ...]":
    """Cable 2 carries from the second node to the first alone."""
    nodes = pair(STRAIGHT[0], ("a2", "x2"), ("b2", "y2"), STRAIGHT[2])
    relay("y2", "x2", lambda frame: [frame])
    together(*nodes)
    return nodes


def bad_weather() -> "tuple[Node, ...]":
    """Every cable loses a third of all frames and doubles another."""
    nodes = pair(*((f"a{n}", f"x{n}") for n in "123"), *((f"b{n}", f"y{n}") for n in "123"))
    counter = iter(range(10**9))
    for n in "123":
        for here, there in ((f"x{n}", f"y{n}"), (f"y{n}", f"x{n}")):
            relay(here, there, lambda frame: [frame] * (next(counter) % 3))
    together(*nodes, seconds=20.0)
    return nodes


def auto() -> "tuple[Node, ...]":
    """The first node's profile names no port: all but the uplink's are tried."""
    cable("a0", "x0")
    cable("a9", "x9")
    chatter("x0", ARP)
    _, second = pair(*STRAIGHT)
    whole = a_pair()
    first = replace(whole.nodes[0], crossover_ports=())
    whole = replace(whole, nodes=(first, whole.nodes[1]))
    ports = {"a0": first.uplink.ports[0], "a9": "02:00:00:00:00:09", **PORTS["justinian"]}
    node = Node("justinian", Identity(1, "justinian", whole), ports=ports)
    together(node, second)
    return node, second


def restarted() -> "tuple[Node, ...]":
    """The second node's agent starts when the first knew its cables and was started anew."""
    nodes = first, second = pair(*STRAIGHT)
    together(*nodes)
    for node in nodes:
        node.context.hellos.stop()
    (second.root / "var/lib/ksbuild/cabling.json").unlink()
    first.context, second.context = first.new_context(), second.new_context()
    answer(first.context)
    together(second)
    return nodes


def redone() -> "tuple[Node, ...]":
    """Two complete nodes, whose agents answer; a human has the cables looked at anew."""
    nodes = pair(*STRAIGHT[:2], ("a3", "x3"), ("b3", "y3"))
    together(*nodes)
    agents = [node.context for node in nodes]
    relay("x3", "y3", lambda frame: [frame])
    relay("y3", "x3", lambda frame: [frame])
    for node in nodes:
        (node.root / "var/lib/ksbuild/cabling.json").unlink()
        node.context = node.new_context()

    def polls() -> None:  # as the agents do every half minute
        time.sleep(1.0)
        for agent in agents:
            answer(agent)

    threading.Thread(target=polls, daemon=True).start()
    together(*nodes)
    return nodes


def alone() -> "tuple[Node, ...]":
    """The peer is off."""
    nodes = pair(*STRAIGHT)
    together(nodes[0], seconds=3.0)
    return nodes[:1]


def main() -> None:
    nodes = globals()[sys.argv[1]]()
    print(json.dumps([node.answer() for node in nodes]))


if __name__ == "__main__":
    main()
