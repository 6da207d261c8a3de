"""ksnode check SUBSYSTEM and ksnode check --metrics: what is so now, for monitoring."""

import logging
import os
from pathlib import Path
from typing import Callable, Optional

from firstboot import (
    clock,
    drbd,
    hardware,
    latches,
    machine,
    monitoring,
    mount,
    pacemaker,
    raid,
    sensors,
)
from firstboot.commands import CommandError, Run, run
from firstboot.exits import UNKNOWN
from firstboot.monitoring import Reading
from firstboot.node import Identity
from firstboot.verification import state

Source = Callable[[Identity, Path, Run], Optional[Reading]]


def one(identity: Identity, root: Path, subsystem: str) -> int:
    """One line and Nagios' exit status for one part of the node."""
    reading = _read(identity, root, subsystem) or Reading(UNKNOWN, "not on this platform")
    print(monitoring.line(subsystem, identity.node, reading))
    return reading.level


def all_metrics(identity: Identity, root: Path) -> None:
    """Every part, for Prometheus; what this platform does not have is left out."""
    found = {name: _read(identity, root, name) for name in SOURCES}
    told = {name: reading for name, reading in found.items() if reading is not None}
    print(monitoring.metrics(told), end="")


def _read(identity: Identity, root: Path, subsystem: str) -> Optional[Reading]:
    """None where the platform has no such part."""
    if not latches.is_set(root, latches.COMPLETE):
        return Reading(UNKNOWN, "the node is not complete yet; next: ksnode status")
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)  # Nagios reads one line
    try:
        return SOURCES[subsystem](identity, root, run)
    except (CommandError, OSError, ValueError) as error:
        return Reading(UNKNOWN, f"cannot be looked at: {error}")


def _replication(identity: Identity, root: Path, run: Run) -> Reading:
    return monitoring.replication(drbd.status(run, root, drbd9=identity.pair.has("drbd9")))


def _cluster(identity: Identity, _: Path, run: Run) -> Reading:
    return monitoring.cluster(identity, pacemaker.status(run))


def _links(_: Identity, __: Path, run: Run) -> Reading:
    shown = run(["corosync-cfgtool", "-s"], ok=(0, 1)).stdout
    return monitoring.links(state.connected_links(shown))


def _cables(identity: Identity, root: Path, _: Run) -> Reading:
    return monitoring.cables(identity, state.ports(root))


def _file_system(identity: Identity, root: Path, run: Run) -> Reading:
    place = identity.pair.gfs2.mount
    limits = identity.pair.monitoring
    if mount.options(mount.table(root), place) is None:
        return monitoring.file_system(place, False, 0, 0, limits)
    seen = pacemaker.status(run)
    if seen is None or seen.unclean or not seen.quorate:
        # Until a lost node is fenced GFS2 answers nobody, and whoever asks hangs with it.
        return Reading(UNKNOWN, f"{place} may be frozen; next: ksnode check cluster")
    return monitoring.file_system(place, True, *_room(root / place.lstrip("/")), limits)


def _root(identity: Identity, root: Path, _: Run) -> Reading:
    limits = identity.pair.monitoring
    return monitoring.file_system("/", True, *_room(root), limits, "root")


def _room(place: Path) -> "tuple[int, int]":
    """Bytes of the file system, and those in use."""
    found = os.statvfs(place)
    size, free = found.f_frsize * found.f_blocks, found.f_frsize * found.f_bfree
    return size, size - free


def _memory(identity: Identity, root: Path, _: Run) -> Optional[Reading]:
    return monitoring.memory(state.ksm_saved_mib(root)) if identity.pair.has("ksm") else None


def _selinux(identity: Identity, _: Path, run: Run) -> Optional[Reading]:
    return monitoring.denials(state.denials(run)) if identity.pair.has("selinux") else None


def _raid(_: Identity, root: Path, run: Run) -> Optional[Reading]:
    tool = next((t for t in raid.TOOLS if (root / "usr/sbin" / t).exists()), None)
    if tool is None:
        return None
    shown = run([tool, *raid.SHOW], ok=(0, 1)).stdout
    return monitoring.raid(raid.parse(shown), " ".join((tool, *raid.SHOW)))


def _disks(identity: Identity, root: Path, run: Run) -> Optional[Reading]:
    found = hardware.disks(root, run)
    return None if found is None else machine.disks(found, identity.pair.monitoring)


def _sensors(identity: Identity, root: Path, run: Run) -> Optional[Reading]:
    if (found := hardware.told(root, run)) is None:
        return None
    return machine.sensors(sensors.heard(found, identity.pair.monitoring))


def _clock(identity: Identity, _: Path, run: Run) -> Reading:
    return machine.clock(
        clock.parse(run(["chronyc", *clock.TRACKING]).stdout), identity.pair.monitoring
    )


SOURCES: "dict[str, Source]" = {
    "replication": _replication,
    "cluster": _cluster,
    "links": _links,
    "cables": _cables,
    "file-system": _file_system,
    "memory": _memory,
    "selinux": _selinux,
    "raid": _raid,
    "disks": _disks,
    "sensors": _sensors,
    "root": _root,
    "clock": _clock,
}
