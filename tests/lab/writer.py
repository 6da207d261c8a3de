"""Records written synchronously on a node, and what the node told the lab it had written.

A record is 64 bytes: number, checksum, padding. The node's own word that a record is written is
what an application would go by: from then on nothing that happens may lose it.
"""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.uml.pair import Server, TestPair

RECORD = 64
PAUSE_S = 0.02
_WRITE = f"""
import os, sys, time, zlib
handle = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC, 0o644)
number = 0
while True:
    number += 1
    body = b"%012d" % number
    record = (body + b" %08x" % zlib.crc32(body)).ljust({RECORD - 1}) + b"\\n"
    assert os.write(handle, record) == len(record)
    print(number, flush=True)
    time.sleep({PAUSE_S})
"""
_READ = f"""
import json, os, sys, zlib
data = open(sys.argv[1], "rb").read() if os.path.exists(sys.argv[1]) else b""
seen = set()
for at in range(0, len(data), {RECORD}):
    body, checksum = data[at:at + 12], data[at + 13:at + 21]
    if checksum == b"%08x" % zlib.crc32(body):
        seen.add(int(body))
missing = sorted(set(range(1, int(sys.argv[2]) + 1)) - seen)
print(json.dumps(dict(missing=len(missing), first=missing[:3], whole=len(seen))))
"""


@dataclass(frozen=True)
class Loss:
    """Acknowledged records that a node does not have: how many, the first of them, of how many."""

    missing: int
    first: list[int]
    acknowledged: int


class Writer:
    """Writes on one node until stop(); its file is below /srv/vmdata and stays there."""

    def __init__(self, pair: TestPair, server: Server, name: str) -> None:
        self._pair = pair
        self.server = server
        self.path = f"{pair.plan.gfs2.mount}/{name}"
        self._times: list[float] = []  # of each acknowledgement
        command = f"exec python3 -c {shlex.quote(_WRITE)} {shlex.quote(self.path)}"
        self._process = subprocess.Popen(
            pair.shell.argv(server.address, command),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for number, line in enumerate(self._process.stdout, 1):
            if line != f"{number}\n":
                break  # cut off in the middle of the line
            self._times.append(time.monotonic())

    @property
    def acknowledged(self) -> int:
        """How many records the node said it has written."""
        return len(self._times)

    def wait(self, count: int, timeout: float) -> float:
        """Wait for that many more records; the seconds it took. TimeoutError."""
        began, wanted = time.monotonic(), self.acknowledged + count
        while self.acknowledged < wanted:
            if time.monotonic() - began > timeout:
                have = self.acknowledged
                raise TimeoutError(f"{self.server.name} wrote nothing for {timeout:.0f} s ({have})")
            time.sleep(0.1)
        return time.monotonic() - began

    def longest_gap(self) -> float:
        """The longest time without a record, in seconds."""
        times = list(self._times)
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    def stop(self) -> None:
        """End it, as often as one likes; what was acknowledged stays to be looked for."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def loss(self, on: Callable[[Server, str], str], server: Server) -> Loss:
        """What this node lacks of what was acknowledged."""
        count = self.acknowledged
        command = f"python3 -c {shlex.quote(_READ)} {shlex.quote(self.path)} {count}"
        said = json.loads(on(server, command))
        return Loss(said["missing"], said["first"], count)
