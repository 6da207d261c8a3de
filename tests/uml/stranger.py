"""Somebody between two cables' ends: carries all frames across, and speaks as a third party.

Runs as a program in the lab's namespace: each two arguments are an end's source and target port.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress

from tests.uml.images import CHECKOUT
from tests.uml.lab import End, Lab

MAC = "00:0C:29:00:00:01"
EVERY_S = 0.2
# As User-mode Linux has it: RFC 3931 over UDP, session 1, no cookie, no counter.
_L2TPV3 = struct.pack("!II", 0x00030000, 1)
_ARP = bytes.fromhex("ffffffffffff 000c29000001 0806 0001080006040001 000c29000001 0a000063"
                     "000000000000 0a000001") + bytes(18)  # fmt: skip


class Stranger:
    """The program, from the test's side; a context manager."""

    def __init__(self, lab: Lab, one: End, other: End) -> None:
        ports = [one.source_port, one.target_port, other.source_port, other.target_port]
        self._process = subprocess.Popen(
            lab.inside(sys.executable, "-m", "tests.uml.stranger", *map(str, ports)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
        )

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def hush(self) -> set[str]:
        """Let it only carry from now on; the Ethernet types the servers sent so far, in hex."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("hush\n")
        self._process.stdin.flush()
        return set(self._process.stdout.readline().split())


def carry(ports: list[int]) -> None:
    """Be the stranger, until killed."""
    speaks, spoke_at = True, 0.0
    seen: set[str] = set()
    lines: list[socket.socket] = []
    for source, target in (ports[:2], ports[2:]):
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind(("127.0.0.1", source))
        line.connect(("127.0.0.1", target))
        lines.append(line)
    onward = dict(zip(lines, reversed(lines), strict=True))
    while True:
        ready, _, _ = select.select([*lines, *([sys.stdin] if speaks else [])], [], [], EVERY_S)
        if sys.stdin in ready:
            speaks = False
            print(*seen, flush=True)
        for line in set(lines) & set(ready):
            with suppress(ConnectionRefusedError):  # a server is off
                frame = line.recv(65536)
                seen.add(frame[len(_L2TPV3) + 12 : len(_L2TPV3) + 14].hex())
                onward[line].send(frame)
        if speaks and time.monotonic() - spoke_at >= EVERY_S:
            spoke_at = time.monotonic()
            for line in lines:
                with suppress(ConnectionRefusedError):
                    line.send(_L2TPV3 + _ARP)


if __name__ == "__main__":
    carry([int(port) for port in sys.argv[1:]])
