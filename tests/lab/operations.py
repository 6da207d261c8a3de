"""Drills of what a pair lives through, with a guest on it. Each docstring is its pass criterion.

Pacemaker's Dummy agent stands in for a guest's (guests.py has a real one). What moves it is a
node's health, told by the agent from what it reads itself.
"""

from __future__ import annotations

import re
from functools import partial

from tests.lab.drilling import Drilling, require
from tests.lab.production import go_on, require_fenced
from tests.uml.pair import Server, TestPair

GUEST = """cibadmin --modify --allow-create --scope configuration --xml-pipe <<'END'
<configuration><resources><primitive id="vm1" class="ocf" provider="pacemaker" type="Dummy">
<meta_attributes id="vm1-meta"><nvpair id="vm1-live" name="allow-migrate" value="true"/>
</meta_attributes></primitive></resources><constraints>
<rsc_order id="vm1-after" first="ks-vmdata-clone" then="vm1"/>
<rsc_colocation id="vm1-beside" rsc="vm1" with-rsc="ks-vmdata-clone" score="INFINITY"/>
</constraints></configuration>
END"""
# What names it goes first, or the rest would be against the schema.
NO_GUEST = "; ".join(
    f"cibadmin --delete --xml-text '<{kind} id=\"{name}\"/>'"
    for kind, name in (
        ("rsc_colocation", "vm1-beside"),
        ("rsc_order", "vm1-after"),
        ("primitive", "vm1"),
    )
)
PREFER = "crm_resource --resource vm1 --move --node"
WHERE = "crm_resource --resource vm1 --locate --quiet"
MOVED_S, BACK_S, DOWN_S = 240.0, 400.0, 180
ARRAY = """
Smart Array P410i in Slot 0 (Embedded)
   array A (SAS, Unused Space: 0 MB)
      logicaldrive 1 (956.9 GB, RAID 5, {array})
      physicaldrive 1I:1:1 (port 1I:box 1:bay 1, SAS, 146 GB, OK)
      physicaldrive 1I:1:2 (port 1I:box 1:bay 2, SAS, 146 GB, {disk})
"""
TOOL = "/usr/sbin/ssacli"


def moves(pair: TestPair) -> int:
    """How often the guest was moved live, as pacemaker's logs on both nodes have it."""
    count = "grep -c 'Initiating migrate_to operation vm1' /var/log/pacemaker/pacemaker.log || :"
    return sum(int(pair.on(server, count)) for server in pair.servers if server.outlet.is_on())


def place(drill: Drilling, server: Server) -> None:
    """Make the guest, on that node, and free to go."""
    clear = "crm_resource --resource vm1 --clear"
    move = f"{PREFER} {server.name}; crm_resource --wait; {clear}"
    drill.pair.on(server, f"{GUEST}\ncrm_resource --wait; {move}", timeout=BACK_S)
    require(guest_on(drill, server) == [server.name], "the guest is not where it was put")


def guest_on(drill: Drilling, seen_from: Server) -> list[str]:
    """The nodes it runs on."""
    return drill.pair.on(seen_from, f"{WHERE} 2>/dev/null || :").split()


def shown(drill: Drilling, server: Server, array: str, disk: str) -> None:
    """Let the node's RAID tool tell this of its controller."""
    text = ARRAY.format(array=array, disk=disk)
    script = f"#!/bin/sh\ncat <<'ARRAY'{text}ARRAY\n"
    drill.pair.on(server, f"cat >{TOOL} <<'TOOL'\n{script}TOOL\nchmod 755 {TOOL}")


def raid_degraded(drill: Drilling) -> None:
    """A disk of one node's array fails. Its guest moves off, live; nobody is fenced and both go on
    writing. With the array whole again the node is a place for guests again.
    """
    victim, survivor = drill.choose()
    shown(drill, victim, "OK", "OK")
    place(drill, victim)
    writers, before, moved = drill.write(), drill.fences(), moves(drill.pair)
    shown(drill, victim, "Interim Recovery Mode", "Failed")
    gone = partial(guest_on, drill, survivor)
    drill.wait("the guest is off it", lambda: gone() == [survivor.name], MOVED_S)
    require(moves(drill.pair) == moved + 1, "it was stopped and started, not moved live")
    for writer in writers.values():
        go_on(drill, writer)
    shown(drill, victim, "OK", "OK")
    drill.wait("it is fit again", lambda: fit(drill, victim), MOVED_S)
    drill.pair.on(victim, f"rm {TOOL}; {NO_GUEST}")
    drill.finish()
    require_fenced(drill, before)


def pull_uplink(drill: Drilling) -> None:
    """One node's uplink is down for three minutes. Its guest moves off, live, nobody is fenced, and
    the other goes on writing. Then the node is a place for guests again.
    """
    victim, survivor = drill.choose()
    place(drill, victim)
    writers, before = drill.write(), drill.fences()
    (port,) = re.findall(r"^(\S+?)@?\s", drill.pair.on(victim, "ip -br link show master br0"))
    # A port of User-mode Linux has no carrier to lose; what is down has none either.
    down = f"ip link set {port} down; sleep {DOWN_S}; ip link set {port} up"
    drill.pair.on(victim, f"systemd-run --quiet sh -c '{down}'")
    gone = partial(guest_on, drill, survivor)
    drill.wait("the guest is off it", lambda: gone() == [survivor.name], DOWN_S)
    go_on(drill, writers[survivor.name])
    drill.wait("it is fit again", lambda: fit(drill, victim, seen_from=survivor), BACK_S)
    drill.pair.on(survivor, NO_GUEST)
    drill.finish()
    require_fenced(drill, before)


def fit(drill: Drilling, server: Server, *, seen_from: Server | None = None) -> bool:
    """Whether pacemaker holds nothing against the node."""
    told = drill.pair.on(seen_from or server, "crm_mon -1 --output-as xml")
    return bool(
        re.search(rf'<node name="{server.name}"[^>]* online="true"[^>]* health="green"', told)
    )


def start_alone(drill: Drilling) -> None:
    """One node and its BMC lose their power together, and `ksnode start-alone` is typed on the
    other. It waits for the fencing that fails. Once a human confirmed that the node is off it goes
    on to its end, and the survivor writes again. With its power the node joins.
    """
    victim, survivor = drill.choose()
    writers = drill.write()
    number = drill.pair.servers.index(victim)
    drill.pair.bmcs[number].close()
    victim.outlet.switch_off()
    unit = "systemd-run --quiet --unit=alone --collect /usr/local/sbin/ksnode start-alone"
    told = partial(drill.pair.on, survivor, "journalctl --no-pager -o cat -u alone")
    drill.wait("it is lost", lambda: "UNCLEAN" in drill.pair.on(survivor, "crm_mon -1"), 300)
    drill.pair.on(survivor, f"{unit} {victim.name}")
    drill.wait("it waits", lambda: f"{victim.name} is not fenced" in told(), drill.bound_s)
    drill.pair.on(survivor, f"yes | stonith_admin --confirm {victim.name}")
    drill.wait("it is alone", lambda: f"is mounted on {survivor.name} alone" in told(), BACK_S)
    go_on(drill, writers[survivor.name])
    drill.pair.bmcs[number] = drill.pair.a_bmc(victim)
    victim.outlet.switch_on()
    drill.finish()
