"""How much longer the same work takes in User-mode Linux than on the machine below it.

Every system call of a guest is one more for the host's tracer, so figures taken in a node say more
of that than of the agent. The work is a start of Debian's own Python with what the agent imports,
the same build on both sides; in processor seconds, the least of several, taken by turns.
"""

import re
import subprocess

from tests.uml.pair import Server, TestPair

TURNS = 7
# The shell's `times`: of its children, user and system, on the second line.
WORK = (
    "/usr/bin/python3 -I -c 'import argparse, json, logging, pathlib, ssl, subprocess, xml.sax';"
    " times"
)


def slowness(made: TestPair, server: Server) -> float:
    """Processor seconds on the node for one on the host."""
    here, there = [], []
    for _ in range(TURNS):
        said = subprocess.run(["sh", "-c", WORK], capture_output=True, text=True, check=True)
        here.append(seconds(said.stdout))
        there.append(seconds(made.on(server, f'sh -c "{WORK}"')))
    return min(there) / min(here)


def seconds(told: str) -> float:
    """Of `times`: 0m0.123s 0m0.045s on its last line."""
    found = re.findall(r"(\d+)m([\d.]+)s", told.strip().splitlines()[-1])
    return sum(60 * int(minutes) + float(rest) for minutes, rest in found)
