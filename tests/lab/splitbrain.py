"""A node goes on alone after both lost their power: the other stays off, as sworn, or does not."""

from __future__ import annotations

import contextlib
import subprocess
import time
from functools import partial

from tests.lab import audits
from tests.lab.drilling import RECORDS_S, Drilling, require
from tests.lab.production import BACK_S
from tests.lab.writer import Loss, Writer
from tests.uml.pair import Server

ALONE_RECORDS, SEEN_S, RESOLVED_S, STAYS_S = 200, 900.0, 900.0, 120.0
START = "systemd-run --quiet --unit=alone --collect /usr/local/sbin/ksnode start-alone"


def start_alone_cold(drill: Drilling) -> None:
    """Both nodes lose their power, one its BMC as well. The other is started alone by a human's
    word, and writes. With its power the node joins, takes what it lacks, and nothing acknowledged
    is missing on either.
    """
    victim, survivor = drill.choose()
    drill.write()
    drill.stop()
    drill.pair.bmcs[drill.pair.servers.index(victim)].close()
    for server in drill.pair.servers:
        server.outlet.switch_off()
    drill.writers.append(write_alone(drill, survivor, victim, cut=False))
    give_power(drill, victim)
    drill.pair.on(survivor, f"stonith_admin --cleanup --history={victim.name}")
    drill.finish()


def split_brain(drill: Drilling) -> None:
    """Both nodes lose their power and their BMCs. Each is started alone while the other is off, as
    a human swears, and writes. With power again neither half is overwritten by the other, and
    `ksnode why` names the split brain. Never are both mounted. What it says is typed: one half is
    given up. Of the kept half, and of what was written before, nothing acknowledged is missing on
    either node.
    """
    loser, winner = drill.choose()
    drill.write()
    drill.stop()
    for server, bmc in zip(drill.pair.servers, drill.pair.bmcs, strict=True):
        server.outlet.switch_off()
        bmc.close()
    given_up = write_alone(drill, loser, winner, cut=True)
    drill.writers.append(write_alone(drill, winner, loser, cut=True))
    give_power(drill, *drill.pair.servers)
    drill.wait("ksnode why names it", lambda: named(drill, loser, winner), SEEN_S)
    stays_apart(drill)
    gone = look_at(drill, loser, winner, given_up)
    resolve(drill, loser, winner)
    for server in drill.pair.servers:
        drill.pair.on(server, f"date +%s >{audits.HEARD}")
    drill.finish()
    drill.figures["records given up"] = given_up.loss(drill.pair.on, loser).missing
    require(gone.missing == 0, f"{gone} of {loser.name}'s half before anybody gave it up")
    require(drill.figures["records given up"] == given_up.acknowledged, "the wrong half was kept")


def give_power(drill: Drilling, *servers: Server) -> None:
    """To these and their BMCs."""
    for server in servers:
        drill.pair.bmcs[drill.pair.servers.index(server)] = drill.pair.a_bmc(server)
        server.outlet.switch_on()


def write_alone(drill: Drilling, server: Server, other: Server, *, cut: bool) -> Writer:
    """Start it alone, and have it write, until its power is cut if it is; the writer has ended."""
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
        if cut:
            server.outlet.switch_off()
    finally:
        writer.stop()
    return writer


def named(drill: Drilling, *servers: Server) -> bool:
    """Whether both tell of it; one that still boots does not answer."""
    with contextlib.suppress(subprocess.SubprocessError):
        return all("split brain" in drill.pair.on(s, "ksnode why || :") for s in servers)
    return False


def stays_apart(drill: Drilling) -> None:
    """For a while nobody mounts the second half."""
    end = time.monotonic() + STAYS_S
    while time.monotonic() < end:
        require(audits.mounted(drill.pair), "both halves are mounted")
        time.sleep(2)


def look_at(drill: Drilling, server: Server, other: Server, writer: Writer) -> Loss:
    """What of the writer's that half lacks; it is mounted for that as docs/disaster.md has it."""
    promotion = "crm_resource --{} --resource ks-drbd-clone --node {}"
    rule = '<rsc_location rsc="ks-drbd-clone" id="drbd-fence-by-handler-vmdata-ks-drbd-clone"/>'

    def unmount(node: Server) -> None:
        drill.pair.on(node, promotion.format("ban --promoted", node.name))
        drill.wait("it is unmounted", lambda: not is_mounted(drill, node), RESOLVED_S)

    unmount(other)
    drill.pair.on(server, promotion.format("clear", server.name))
    drill.pair.on(server, f"cibadmin --delete --xml-text '{rule}'")
    drill.wait("its half is mounted", lambda: is_mounted(drill, server), RESOLVED_S)
    loss = writer.loss(drill.pair.on, server)
    unmount(server)
    return loss


def is_mounted(drill: Drilling, server: Server) -> bool:
    """Whether GFS2 is mounted there."""
    return not any(line.startswith(server.name) for line in audits.mounted(drill.pair))


def resolve(drill: Drilling, loser: Server, winner: Server) -> None:
    """As docs/disaster.md has it; neither half is in use."""
    drill.tell(winner.name, drill.pair.on(winner, "ksnode resolve", timeout=RECORDS_S * 2))
    typed = f"ksnode resolve --discard {loser.name} --cluster {drill.pair.plan.name}"
    drill.pair.on(loser, f"systemd-run --quiet --unit=resolve /usr/local/sbin/{typed}")
    told = partial(drill.pair.on, loser, "journalctl --no-pager -o cat -u resolve")
    drill.wait("it gives way", lambda: "gives way" in told(), RESOLVED_S)
    drill.tell(winner.name, drill.pair.on(winner, typed, timeout=RESOLVED_S).strip())
    drill.wait("both are one", lambda: "have the same data" in told(), RESOLVED_S)
