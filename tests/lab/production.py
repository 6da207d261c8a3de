"""Drills on a pair in production. Each docstring is the drill's pass criterion.

After each of them all audits hold (audits.py): that is part of every criterion.
"""

from __future__ import annotations

import re
import time
from functools import partial

from tests.lab.drilling import Drilling, require
from tests.lab.writer import Writer
from tests.uml.pair import Server

BACK_S, QUIET_S, ORDERLY_TIMES = 600.0, 60.0, 10
LATE_S = 3 * 3600
# Not at once: the shell that asks for it has to end first.
OFF = "systemd-run --quiet sh -c 'sleep 1; exec systemctl poweroff'"
REPLAYED = r"jid=[01]: (Replaying journal|Journal replayed)"


def pull_power(drill: Drilling) -> None:
    """One node loses its power while both write. The other has it fenced, once, and writes again
    within the profile's bound; nobody fences the survivor. It replays the victim's GFS2 journal,
    and DRBD brings the victim up to date by its bitmap, with less than a quarter of the volume.
    """
    victim, survivor = drill.choose()
    writers = drill.write()
    before = drill.fences()
    replayed = drill.count(survivor, REPLAYED)
    victim.outlet.switch_off()
    go_on(drill, writers[survivor.name])
    drill.wait(f"{victim.name} has power again", victim.outlet.is_on, BACK_S)
    drill.finish()
    require_fenced(drill, before, victim.name)
    require(drill.count(survivor, REPLAYED) > replayed, "no journal was replayed")
    part = resynced(drill, survivor)
    drill.figures["resynced, percent"] = part
    require(part < 25, f"{part:.0f} % of the volume was synchronised: no bitmap's work")


def lose_links(drill: Drilling) -> None:
    """A node that runs loses its crossover cables and its uplink. It is fenced, exactly once, and
    the other, never fenced, writes again within the profile's bound. Back with power and still
    without links it starts no cluster and fences nobody; with its links it joins.
    """
    victim, survivor = drill.choose()
    writers = drill.write()
    before = drill.fences()
    cut_off(drill, victim)
    go_on(drill, writers[survivor.name])
    seen = len(victim.outlet.machines)
    drill.wait("it boots", lambda: "ksnode: gate:" in victim.outlet.machine.console_text(), BACK_S)
    time.sleep(QUIET_S)
    require_fenced(drill, before, victim.name)
    require(len(victim.outlet.machines) == seen, f"{victim.name} was switched on once more")
    require("answers on no link" in victim.outlet.machine.console_text(), "the gate says nothing")
    join(drill, victim)
    drill.finish()


def pull_cables(drill: Drilling) -> None:
    """All crossover cables are pulled, the uplink stays. Exactly one node is fenced, the other
    writes again within the profile's bound, and the fenced one does not fence back. Once the
    cables are in again, both mount.
    """
    writers = drill.write()
    before = drill.fences()
    for cable in drill.pair.cables:
        drill.pair.pull_cable(cable)
    drill.wait("one node is fenced", lambda: drill.fenced_since(before), drill.bound_s)
    names = drill.fenced_since(before)
    require(len(names) == 1, f"fenced: {names}; expected: one of them")
    (fenced,) = names
    (survivor,) = (server.name for server in drill.pair.servers if server.name != fenced)
    go_on(drill, writers[survivor])
    time.sleep(QUIET_S)
    require_fenced(drill, before, fenced)
    for cable in drill.pair.cables:
        drill.pair.plug_cable(cable)
    drill.finish()
    require_fenced(drill, before, fenced)


def both_power(drill: Drilling) -> None:
    """Both nodes lose their power at once while both write, and get it back together. Both mount
    with nothing typed, and nobody is fenced.
    """
    drill.write()
    before = drill.fences()
    for server in drill.pair.servers:
        server.outlet.switch_off()
    for server in drill.pair.servers:
        server.outlet.switch_on()
    drill.finish()
    require_fenced(drill, before)


def hours_apart(drill: Drilling) -> None:
    """Both nodes lose their power at once while both write. The one that gets it back first waits
    three hours for the other, by its own clock, and mounts nothing. Then both mount with nothing
    typed, and nobody is fenced.
    """
    drill.write()
    before = drill.fences()
    late, early = drill.choose()
    for server in drill.pair.servers:
        server.outlet.switch_off()
    early.outlet.switch_on()
    early.outlet.machine.wait_console("ksnode start-alone", BACK_S)
    for server in drill.pair.servers:
        server.clock_offset_s += LATE_S
    drill.pair.on(early, f"date -s @$(($(date +%s) + {LATE_S}))")
    time.sleep(QUIET_S)
    mounts = drill.pair.on(early, "cat /proc/mounts")
    require(" gfs2 " not in mounts, f"{early.name} mounted without {late.name}")
    late.outlet.switch_on()
    drill.finish()
    require_fenced(drill, before)


def orderly_poweroff(drill: Drilling) -> None:
    """Both nodes are powered off in an orderly way, at once, and switched on, ten times. No kernel
    replays a GFS2 journal when it mounts, and nobody is ever fenced.
    """
    before = drill.fences()
    for _ in range(ORDERLY_TIMES):
        for server in drill.pair.servers:
            drill.pair.on(server, OFF)
        for server in drill.pair.servers:
            took = server.outlet.machine.wait_off(BACK_S)
            require(took == 0, f"{server.name} ended with {took}")
        for server in drill.pair.servers:
            server.outlet.switch_on()
        drill.finish()
        for server in drill.pair.servers:
            require(drill.count(server, REPLAYED) == 0, f"{server.name} had a dirty journal")
    require_fenced(drill, before)


def node_and_bmc(drill: Drilling) -> None:
    """One node and its BMC lose their power together. The other cannot know, so its storage
    freezes: it writes nothing. `ksnode why` says what to type, with the node's name; once that is
    typed it writes again. With its power the node joins.
    """
    victim, survivor = drill.choose()
    writers = drill.write()
    number = drill.pair.servers.index(victim)
    drill.pair.bmcs[number].close()
    victim.outlet.switch_off()
    time.sleep(5)  # what was on its way
    frozen = writers[survivor.name].acknowledged
    typed = f"stonith_admin --confirm {victim.name}"
    told = partial(drill.pair.on, survivor, "ksnode why")
    drill.wait(f"ksnode why says: {typed}", lambda: typed in told(), drill.bound_s)
    require(writers[survivor.name].acknowledged == frozen, "it wrote while nobody was fenced")
    drill.pair.on(survivor, f"yes | {typed}")
    go_on(drill, writers[survivor.name])
    drill.pair.bmcs[number] = drill.pair.a_bmc(victim)
    victim.outlet.switch_on()
    drill.finish()


def go_on(drill: Drilling, writer: Writer) -> None:
    """The survivor writes again, within the bound."""
    try:
        writer.wait(50, drill.bound_s + 60)
    except TimeoutError as error:
        require(False, str(error))
    gap = writer.longest_gap()
    drill.figures["longest write gap"] = gap
    drill.tell(writer.server.name, f"writes again; its longest gap: {gap:.0f} s")
    require(
        gap < drill.bound_s, f"it wrote nothing for {gap:.0f} s; the bound: {drill.bound_s:.0f}"
    )


def require_fenced(drill: Drilling, before: dict[str, int], *names: str) -> None:
    """Exactly these lost their power by their BMC since then, each once."""
    found = drill.fenced_since(before)
    require(
        found == list(names), f"fenced: {found or 'nobody'}; expected: {list(names) or 'nobody'}"
    )


def cut_off(drill: Drilling, server: Server) -> None:
    """Pull all of a node's cables, the uplink's too."""
    for cable in drill.pair.cables:
        drill.pair.pull_cable(cable)
    drill.pair.lab.unplug(drill.pair.uplink_of(server))


def join(drill: Drilling, server: Server) -> None:
    """Undo cut_off."""
    for cable in drill.pair.cables:
        drill.pair.plug_cable(cable)
    drill.pair.lab.plug(drill.pair.uplink_of(server))


def resynced(drill: Drilling, source: Server) -> float:
    """How much of the volume the last resynchronisation from that node meant, in percent."""
    log = drill.pair.on(source, "journalctl -k -b --no-pager -o cat")
    found = re.findall(r"Began resync as SyncSource \(will sync (\d+) KB", log)
    require(found, "no resynchronisation was seen")
    total = int(drill.pair.on(source, "blockdev --getsize64 /dev/drbd0")) / 1024
    return 100 * int(found[-1]) / total
