"""Runs on a node: writes down, as JSON lines, every program that is started (see started.c).

Argument: a folder, where each boot has a file. An argument vector is written once, and of an
environment only what was not there before.
"""

import json
import os
import socket
import sys
from pathlib import Path

MOST = 131072  # bytes of a datagram that was cut off


def words(part: bytes) -> list[str]:
    """NUL-ended words."""
    return part.decode("latin-1").split("\0")[:-1]


def main() -> None:
    """Until the power goes."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    door.bind("/run/started")
    os.chmod("/run/started", 0o666)  # noqa: S103 - pacemaker's programs have a user of their own
    door.settimeout(0.5)
    vectors: set[tuple[str, ...]] = set()
    variables: set[str] = set()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with (Path(sys.argv[1]) / boot).open("a") as out:
        while True:
            try:
                told = door.recv(MOST + 1)
            except TimeoutError:
                out.flush()
                os.fdatasync(out.fileno())
                continue
            parent, argv, rest = told.split(b"\x1e", 2)
            new = [word for word in words(rest[:-1]) if word not in variables]
            vector = (*words(parent)[:2], "", *words(argv))
            if vector not in vectors or new:
                vectors.add(vector)
                variables.update(new)
                record = {"parent": words(parent), "argv": words(argv), "environment": new}
                out.write(json.dumps({**record, "cut": len(told) >= MOST}) + "\n")


main()
