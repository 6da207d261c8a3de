"""Both nodes go on alone, one after the other, because a human swears each time that one is off."""

from __future__ import annotations

import contextlib
import subprocess
from functools import partial

from tests.lab.drilling import RECORDS_S, Drilling, require
from tests.lab.production import BACK_S
from tests.lab.writer import Writer
from tests.uml.pair import Server

ALONE_RECORDS, SEEN_S, RESOLVED_S = 200, 900.0, 900.0
START = "systemd-run --quiet --unit=alone --collect /usr/local/sbin/ksnode start-alone"


def split_brain(drill: Drilling) -> None:
    """Both nodes lose their power and their BMCs. Each is started alone while the other is off, as
    a human swears, and writes. With power again neither half is overwritten by the other, and
    `ksnode why` names the split brain. What it says is typed: one half is given up. Of the kept
    half, and of what was written before, nothing acknowledged is missing on either node.
    """
    loser, winner = drill.choose()
    drill.write()
    drill.stop()
    for server, bmc in zip(drill.pair.servers, drill.pair.bmcs, strict=True):
        server.outlet.switch_off()
        bmc.close()
    given_up = write_alone(drill, loser, winner)
    drill.writers.append(write_alone(drill, winner, loser))
    for number, server in enumerate(drill.pair.servers):
        drill.pair.bmcs[number] = drill.pair.a_bmc(server)
        server.outlet.switch_on()
    drill.wait("ksnode why names it", lambda: named(drill, loser, winner), SEEN_S)
    gone = given_up.loss(drill.pair.on, loser)
    resolve(drill, loser, winner)
    drill.finish()
    drill.figures["records given up"] = given_up.loss(drill.pair.on, loser).missing
    require(gone.missing == 0, f"{gone} of {loser.name}'s half before anybody gave it up")
    require(drill.figures["records given up"] == given_up.acknowledged, "the wrong half was kept")


def write_alone(drill: Drilling, server: Server, other: Server) -> Writer:
    """Start it alone, have it write, and cut its power."""
    server.outlet.switch_on()
    server.outlet.machine.wait_console("ksnode start-alone", BACK_S)
    drill.pair.on(server, f"{START} {other.name} --accept-loss")
    told = partial(drill.pair.on, server, "journalctl --no-pager -o cat -u alone")
    drill.wait("it waits", lambda: f"{other.name} is not fenced" in told(), BACK_S)
    drill.pair.on(server, f"yes | stonith_admin --confirm {other.name}")
    drill.wait("it is alone", lambda: f"is mounted on {server.name} alone" in told(), BACK_S)
    writer = Writer(drill.pair, server, f"half-{server.name}")
    try:
        writer.wait(ALONE_RECORDS, RECORDS_S)
        server.outlet.switch_off()
    finally:
        writer.stop()
    return writer


def named(drill: Drilling, *servers: Server) -> bool:
    """Whether a node tells of it; one that still boots does not answer."""
    for server in servers:
        with contextlib.suppress(subprocess.SubprocessError):
            if "split brain" in drill.pair.on(server, "ksnode why || :"):
                return True
    return False


def resolve(drill: Drilling, loser: Server, winner: Server) -> None:
    """As docs/disaster.md has it."""
    ban = "crm_resource --ban --promoted --resource ks-drbd-clone --node"
    drill.pair.on(loser, f"{ban} {loser.name}; crm_resource --wait", timeout=RESOLVED_S)
    drill.tell(winner.name, drill.pair.on(winner, "ksnode resolve", timeout=RECORDS_S * 2))
    typed = f"ksnode resolve --discard {loser.name} --cluster {drill.pair.plan.name}"
    drill.pair.on(loser, f"systemd-run --quiet --unit=resolve /usr/local/sbin/{typed}")
    told = partial(drill.pair.on, loser, "journalctl --no-pager -o cat -u resolve")
    drill.wait("it gives way", lambda: "gives way" in told(), RESOLVED_S)
    drill.tell(winner.name, drill.pair.on(winner, typed, timeout=RESOLVED_S).strip())
    drill.wait("both are one", lambda: "have the same data" in told(), RESOLVED_S)
