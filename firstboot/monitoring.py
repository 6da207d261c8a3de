"""What monitoring is told of each part of a complete node: a level, a line, numbers. Pure.

Levels are Nagios' (exits.py). Texts end in "; next: " and what a human can do, where there is
something to do. Numbers are Prometheus gauges; their names say the unit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from firstboot.drbd import PRIMARY, UP_TO_DATE, Status
from firstboot.exits import CRITICAL, OK, UNKNOWN, WARNING
from firstboot.node import RESOURCE, Identity
from firstboot.pacemaker import Cluster
from firstboot.raid import Drive, faults
from firstboot.thresholds import Monitoring
from firstboot.verification.oddities import LINKS, NEXT

LEVELS = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL", UNKNOWN: "UNKNOWN"}
# Name -> what it is, as Prometheus' HELP has it.
GAUGES = {
    "check_level": "Nagios' level: 0 ok, 1 warning, 2 critical, 3 unknown",
    "replication_connected": "Whether DRBD has its peer",
    "replication_up_to_date": "Whether the node's copy is up to date",
    "replication_sync_percent": "How much of a running sync is done",
    "cluster_quorate": "Whether the cluster has quorum",
    "cluster_nodes_online": "Nodes that pacemaker sees",
    "cluster_failures": "Failed actions that pacemaker still remembers",
    "cluster_link_up": "Whether the other node is reached over a link of corosync's",
    "cable_up": "Whether a crossover port has a link",
    "filesystem_size_bytes": "Size of the shared file system",
    "filesystem_used_bytes": "Bytes of it that are in use",
    "memory_saved_bytes": "What guests' equal pages would take once more without KSM",
    "selinux_denials": "Denials since boot of what our parts wanted",
    "raid_drives": "Arrays and disks that the controller tells of",
    "raid_faults": "Those that are not whole",
    "disk_failing": "Whether a disk foretells its end",
    "disk_celsius": "Temperature of a disk",
    "disk_worn_percent": "Share of the writes it is made for that a disk has had",
    "disk_bad_sectors": "Sectors that a disk replaced or cannot read",
    "sensor_celsius": "Temperature that a sensor of the BMC's shows",
    "sensor_faults": "Sensors of the BMC's that call for somebody",
    "root_size_bytes": "Size of the root file system",
    "root_used_bytes": "Bytes of it that are in use",
    "clock_offset_seconds": "By how much the clock is off, ahead or behind",
}


@dataclass(frozen=True)
class Number:
    """One gauge's value; `label` tells which of several, as port="eth1"."""

    gauge: str
    value: float
    label: str = ""


@dataclass(frozen=True)
class Reading:
    """One part of the node."""

    level: int
    text: str
    numbers: "tuple[Number, ...]" = ()


def replication(seen: Optional[Status]) -> Reading:
    """DRBD's resource: critical without an up to date copy here or after a split brain."""
    if seen is None:
        return Reading(CRITICAL, f"{RESOURCE} is not up{NEXT}ksnode why; drbdadm status")
    numbers = [
        Number("replication_connected", float(seen.connected)),
        Number("replication_up_to_date", float(seen.disk == UP_TO_DATE)),
    ]
    if seen.percent is not None:
        numbers.append(Number("replication_sync_percent", seen.percent))
    level, way_out = OK, ""
    if seen.disk != UP_TO_DATE or seen.stands_alone:
        level, way_out = CRITICAL, f"{NEXT}ksnode why; drbdadm status"
    elif not seen.in_sync or seen.role != PRIMARY:
        level, way_out = WARNING, f"{NEXT}drbdadm status; crm_mon -1rf"
    return Reading(level, f"{seen}{way_out}", tuple(numbers))


def cluster(identity: Identity, seen: Optional[Cluster]) -> Reading:
    """pacemaker: critical without quorum, or while a node waits to be fenced."""
    if seen is None:
        return Reading(CRITICAL, f"pacemaker does not answer{NEXT}systemctl status pacemaker")
    numbers = (
        Number("cluster_quorate", float(seen.quorate)),
        Number("cluster_nodes_online", float(len(seen.online))),
        Number("cluster_failures", float(len(seen.failures))),
    )
    off = sorted({node.name for node in identity.pair.nodes} - seen.online)
    if not seen.quorate or seen.unclean:
        what = f"{', '.join(sorted(seen.unclean))} is to be fenced" if seen.unclean else "no quorum"
        return Reading(CRITICAL, f"{what}{NEXT}ksnode why; crm_mon -1rf", numbers)
    said = [f"{name} is not online" for name in off]
    said += [f"{name} is in bad health (ksnode health)" for name in sorted(seen.unhealthy)]
    said += seen.failures
    if said:
        return Reading(WARNING, f"{'; '.join(said)}{NEXT}crm_mon -1rf", numbers)
    return Reading(OK, "both nodes online, with quorum", numbers)


def links(up: Mapping[int, bool]) -> Reading:
    """corosync's two links, as connected_links() has them: critical without both."""
    numbers = tuple(
        Number("cluster_link_up", float(up.get(int(number), False)), f'link="{place}"')
        for number, place in LINKS.items()
    )
    down = [place for number, place in LINKS.items() if not up.get(int(number), False)]
    if not down:
        return Reading(OK, f"{' and '.join(LINKS.values())} reach the other node", numbers)
    level = CRITICAL if len(down) == len(LINKS) else WARNING
    text = f"no cluster link on {' and '.join(down)}{NEXT}corosync-cfgtool -s"
    return Reading(level, text, numbers)


def cables(identity: Identity, up: Mapping[str, bool]) -> Reading:
    """The crossover's ports -> link: critical without any."""
    numbers = tuple(
        Number("cable_up", float(link), f'port="{port}"') for port, link in sorted(up.items())
    )
    good, planned = sum(up.values()), max(len(identity.me.crossover_ports), len(up))
    if good and good == planned:
        return Reading(OK, f"{good} of {planned} crossover cables have a link", numbers)
    dead = [port for port, link in sorted(up.items()) if not link]
    text = f"{good} of {planned} crossover cables have a link" + (
        f", none on {', '.join(dead)}" if dead else ""
    )
    level = WARNING if good else CRITICAL
    return Reading(level, f"{text}{NEXT}the cables; cat /proc/net/bonding/*", numbers)


def file_system(
    place: str, mounted: bool, size: int, used: int, limits: Monitoring, gauge: str = "filesystem"
) -> Reading:
    """A file system, by default the shared one; sizes in bytes."""
    if not mounted:
        return Reading(CRITICAL, f"{place} is not mounted{NEXT}ksnode why; crm_mon -1rf")
    numbers = (
        Number(f"{gauge}_size_bytes", float(size)),
        Number(f"{gauge}_used_bytes", float(used)),
    )
    percent = 100.0 * used / size if size else 0.0
    full = percent >= limits.full_critical_percent
    level = CRITICAL if full else WARNING if percent >= limits.full_warning_percent else OK
    way_out = "" if level == OK else f"{NEXT}du -x --max-depth 1 -h {place}"
    return Reading(level, f"{place} is {percent:.0f}% full{way_out}", numbers)


def memory(saved_mib: float) -> Reading:
    """What KSM saves; never a fault."""
    number = Number("memory_saved_bytes", saved_mib * (1 << 20))
    return Reading(OK, f"KSM saves {saved_mib:.0f} MiB", (number,))


def denials(lines: Sequence[str]) -> Reading:
    """SELinux's denials of our parts since boot."""
    numbers = (Number("selinux_denials", float(len(lines))),)
    if not lines:
        return Reading(OK, "no denials since boot", numbers)
    last = f"{NEXT}ausearch --message AVC --start boot; the last: {lines[-1]}"
    return Reading(WARNING, f"{len(lines)} denials since boot{last}", numbers)


def raid(drives: Sequence[Drive], command: str) -> Reading:
    """Arrays and disks as `command` tells them: critical when one is not whole."""
    bad = faults(list(drives))
    numbers = (
        Number("raid_drives", float(len(drives))),
        Number("raid_faults", float(len(bad))),
    )
    if not drives:
        return Reading(UNKNOWN, f"the controller tells of no drive{NEXT}{command}", numbers)
    if bad:
        return Reading(CRITICAL, f"{'; '.join(map(str, bad))}{NEXT}{command}", numbers)
    return Reading(OK, f"{len(drives)} drives are whole", numbers)


def line(subsystem: str, node: str, reading: Reading) -> str:
    """As Nagios wants it: what is behind the bar are its performance data."""
    text = reading.text.replace("|", "/").replace("\n", " ")
    data = " ".join(
        f"'{number.gauge}{_of(number)}'={number.value:.15g}" for number in reading.numbers
    )
    said = f"KSNODE {subsystem.upper()} {LEVELS[reading.level]} - {node}: {text}"
    return f"{said} | {data}" if data else said


def _of(number: Number) -> str:
    return f" {number.label.split(chr(34))[1]}" if number.label else ""


def metrics(readings: Mapping[str, Reading]) -> str:
    """All of it in Prometheus' text format 0.0.4, for node_exporter's textfile collector."""
    lines: list[str] = []
    for gauge, meaning in GAUGES.items():
        if values := list(_values(gauge, readings)):
            name = f"ksbuild_{gauge}"
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
            lines += [f"{name}{labels} {value:.15g}" for labels, value in values]
    return "\n".join(lines) + "\n"


def _values(gauge: str, readings: Mapping[str, Reading]) -> "Iterator[tuple[str, float]]":
    for subsystem, reading in readings.items():
        if gauge == "check_level":
            yield f'{{subsystem="{subsystem}"}}', float(reading.level)
        for number in reading.numbers:
            if number.gauge == gauge:
                yield (f"{{{number.label}}}" if number.label else ""), number.value
