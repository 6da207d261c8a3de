"""Two nodes' cabling steps on real (veth) ports, and ways to disturb what lies between them."""

import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

from firstboot import cabling, hellos
from firstboot.commands import Result
from firstboot.engine import Refused
from firstboot.hellos import KEY
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.cabling import Cabling
from tests.firstboot.conftest import MACS, PEER_MACS, a_pair

# Everything ten times as fast.
for module in (cabling, hellos):
    for name in ("EVERY_S", "FRESH_S", "LISTEN_S", "SETTLE_S", "FORGET_S", "_ANSWER_S", "_IDLE_S"):
        if hasattr(module, name):
            setattr(module, name, getattr(module, name) / 10)

LINK_KEY = "ksbuild-link-" + "5e" * 32
PORTS = {"justinian": dict(zip(("a1", "a2", "a3"), MACS)),
         "julius": dict(zip(("b1", "b2", "b3"), PEER_MACS))}  # fmt: skip


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def cable(one: str, other: str) -> None:
    """A cable between two ports, which get their MACs if they are a node's."""
    ip("link", "add", one, "type", "veth", "peer", "name", other)
    for name in (one, other):
        mac = {**PORTS["justinian"], **PORTS["julius"]}.get(name)
        if mac is not None:
            ip("link", "set", name, "address", mac)
        else:  # nobody's: says nothing of its own
            ip("link", "set", name, "addrgenmode", "none")
            ip("link", "set", name, "up")


class Node:
    """One node: its own folder for `/`, and its own view of the ports."""

    def __init__(self, name: str, identity: Optional[Identity] = None, key: str = LINK_KEY,
                 ports: "Optional[dict[str, str]]" = None) -> None:  # fmt: skip
        self.identity = identity or Identity(1, name, a_pair())
        self.ports = ports or PORTS[name]
        self.root = Path(tempfile.mkdtemp())
        self.told: list[str] = []
        (self.root / KEY).parent.mkdir(parents=True)
        (self.root / KEY).write_text(f"{key}\n")
        self.sysfs = self.root / "sys/class/net"
        self.sysfs.mkdir(parents=True)
        for port in self.ports:
            (self.sysfs / port).symlink_to(f"/sys/class/net/{port}")
        self.context = self.new_context()

    def new_context(self) -> Context:
        """As after a restart of the agent."""
        root, meeting = self.root, Meeting(self.identity, self.root, "boot")
        talk = hellos.Hellos(self.sysfs)
        return Context(self.identity, root, self.run, self.report, meeting, talk)

    def run(self, argv: Sequence[str], *, stdin: Optional[str] = None, ok: "tuple[int, ...]" = (0,),
            timeout_s: float = 0) -> Result:  # fmt: skip
        del stdin, ok, timeout_s
        if argv[1] == "-j":
            shown = [{"ifname": n, "link_type": "ether", "address": mac.lower()}
                     for n, mac in self.ports.items()]  # fmt: skip
            return Result(tuple(argv), 0, json.dumps(shown), "")
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)

    def report(self, step: str, event: str, detail: str = "") -> None:
        del step, event
        self.told.append(detail)

    def apply(self) -> None:
        """The step, to its end; the end of a scenario may come first."""
        step = Cabling(self.context)
        if step.check():
            with suppress(Refused):
                step.apply()

    def answer(self) -> "dict[str, object]":
        """What it found, and what it says of it."""
        step = Cabling(self.context)
        missing = list(step.check())
        found = self.root / "var/lib/ksbuild/cabling.json"
        cables = json.loads(found.read_text()) if found.exists() else None
        said = self.told[-1] if self.told else ""
        return {"cables": cables, "missing": missing, "remark": step.remark(), "said": said}


def together(*nodes: Node, seconds: float = 8.0) -> None:
    """All nodes' steps at once, for so long at most."""
    threads = [threading.Thread(target=node.apply, daemon=True) for node in nodes]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def raw(port: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((port, 0))
    return wire


def chatter(port: str, frame: bytes, every_s: float = 0.2) -> None:
    """Somebody who speaks on a port, for ever."""
    wire = raw(port)

    def speak() -> None:
        while True:
            wire.send(frame)
            time.sleep(every_s)

    threading.Thread(target=speak, daemon=True).start()


def relay(source: str, target: str, passes: "Callable[[bytes], Sequence[bytes]]") -> None:
    """Carry frames from one port to another; `passes` says what becomes of each."""
    inward, outward = raw(source), raw(target)

    def carry() -> None:
        while True:
            frame, (_, _, kind, _, _) = inward.recvfrom(4096)
            if kind != socket.PACKET_OUTGOING:
                for passed in passes(frame):
                    outward.send(passed)

    threading.Thread(target=carry, daemon=True).start()
