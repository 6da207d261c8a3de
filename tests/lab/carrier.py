"""Drills that only cards with a carrier can have: QEMU's, and no User-mode Linux."""

from __future__ import annotations

import re
import time

from tests.lab.drilling import Drilling, require

SEEN_S, WATCHED_S = 30.0, 60.0
STATE = "cat /proc/net/bonding/bond0"


def pull_one_cable(drill: Drilling) -> None:
    """One of three crossover cables is pulled while both write, and its cards lose their carrier.
    Both bonds see it within half a minute and go on over the other two; nobody is fenced, and no
    writer waits longer than the token. Once the cable is in again, both bonds use all three.
    """
    pulled(drill, 1)


def pull_two_cables(drill: Drilling) -> None:
    """Two of three crossover cables are pulled while both write. Both bonds see it within half a
    minute and go on over the one that is left; nobody is fenced, and no writer waits longer than
    the token. Once the cables are in again, both bonds use all three.
    """
    pulled(drill, 2)


def pulled(drill: Drilling, number: int) -> None:
    """Pull as many cables, any of them; look; plug them in again."""
    writers = drill.write()
    before, failed = drill.fences(), failures(drill)
    cables = drill.random.sample(drill.pair.cables, number)
    left = len(drill.pair.cables) - number
    for cable in cables:
        drill.pair.pull_cable(cable)
    drill.wait(f"both bonds have {left} ports", lambda: up(drill) == [left, left], SEEN_S)
    more = [now - then for now, then in zip(failures(drill), failed, strict=True)]
    require(more == [number, number], f"link failures by the bonds' own count: {more}")
    time.sleep(WATCHED_S)
    gaps = [writer.longest_gap() for writer in writers.values()]
    drill.figures["longest gap"] = max(gaps)
    require(max(gaps) < drill.pair.plan.cluster.token_ms / 1000, f"a writer waited: {gaps}")
    for cable in cables:
        drill.pair.plug_cable(cable)
    drill.wait("both bonds have all again", lambda: up(drill) == [3, 3], SEEN_S)
    drill.finish()
    require(not drill.fenced_since(before), f"fenced: {drill.fenced_since(before)}")


def up(drill: Drilling) -> list[int]:
    """How many ports each node's bond sends over."""
    return [ports_up(drill.pair.on(server, STATE)) for server in drill.pair.servers]


def ports_up(state: str) -> int:
    """The same, of one /proc/net/bonding/bond0: its ports whose carrier is there."""
    ports = re.split(r"^Slave Interface: ", state, flags=re.MULTILINE)[1:]
    return sum("\nMII Status: up\n" in port for port in ports)


def failures(drill: Drilling) -> list[int]:
    """How often each node's bond has seen a port lose its carrier, all ports together."""
    states = [drill.pair.on(server, STATE) for server in drill.pair.servers]
    counted = (re.findall(r"^Link Failure Count: (\d+)$", state, re.MULTILINE) for state in states)
    return [sum(map(int, numbers)) for numbers in counted]
