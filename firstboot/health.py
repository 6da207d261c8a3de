"""What a node's hardware and links are worth as a place for guests: pacemaker's colours. Pure.

Red makes guests move off live (render/cib.py). It is for what ends with this node's guests and not
with the other's; what both nodes have in common, such as a crossover cable, is yellow at most and
moves nothing. What can't be told has no colour: nobody is moved for want of a tool.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from firstboot import raid, smart
from firstboot.drbd import UP_TO_DATE, Status
from firstboot.sensors import Sensor
from firstboot.thresholds import Monitoring

GREEN, YELLOW, RED = "green", "yellow", "red"
PREFIX = "#health-ks-"  # pacemaker sums up what begins with #health


@dataclass(frozen=True)
class Finding:
    """One part of a node; `colour` is "" where nothing can be told."""

    part: str
    colour: str
    text: str

    @property
    def attribute(self) -> str:
        """Its name as a node attribute."""
        return PREFIX + self.part


def arrays(drives: "Sequence[raid.Drive]") -> Finding:
    """Red as soon as the array or a disk is not whole: before it fails altogether."""
    if not drives:
        return Finding("raid", "", "the controller tells of no drive")
    bad = raid.faults(list(drives))
    if bad:
        return Finding("raid", RED, "; ".join(map(str, bad)))
    return Finding("raid", GREEN, f"{len(drives)} drives are whole")


def disks(found: Sequence[smart.Disk], limits: Monitoring) -> Finding:
    """Red as soon as one foretells its end; yellow beyond a threshold."""
    if not found:
        return Finding("disks", "", "no disk tells of itself")
    failing = [f"{disk} is failing: {disk.failing}" for disk in found if disk.failing]
    if failing:
        return Finding("disks", RED, "; ".join(failing))
    worn = [f"{disk} {worry}" for disk in found for worry in smart.worries(disk, limits)]
    return Finding("disks", YELLOW if worn else GREEN, "; ".join(worn) or f"{len(found)} are well")


def sensors(found: Sequence[Sensor]) -> Finding:
    """Red while it is so hot that the server will switch itself off; else it runs on: yellow."""
    if not found:
        return Finding("sensors", "", "the BMC tells of no sensor")
    hot = [str(sensor) for sensor in found if sensor.switches_off]
    if hot:
        return Finding("sensors", RED, "; ".join(hot))
    bad = [str(sensor) for sensor in found if sensor.bad]
    return Finding("sensors", YELLOW if bad else GREEN, "; ".join(bad) or f"{len(found)} are well")


def replication(seen: Optional[Status]) -> Finding:
    """Red while the other node has good data and this one has not, or has lost its disk."""
    if seen is None:
        return Finding("drbd", "", "DRBD is not up")
    behind = seen.disk != UP_TO_DATE == seen.peer_disk
    return Finding("drbd", RED if behind else GREEN, str(seen))


def uplink(up: Mapping[str, bool]) -> Finding:
    """Red when no port has a link: the guests here talk to nobody."""
    return _links("uplink", up, none=RED)


def crossover(up: Mapping[str, bool]) -> Finding:
    """Never red: the other node has the same cables."""
    return _links("crossover", up, none=YELLOW)


def _links(part: str, up: Mapping[str, bool], *, none: str) -> Finding:
    if not up:
        return Finding(part, "", "no port was found")
    dead = [port for port, link in sorted(up.items()) if not link]
    if not dead:
        return Finding(part, GREEN, f"{len(up)} of {len(up)} ports have a link")
    colour = none if len(dead) == len(up) else YELLOW
    return Finding(part, colour, f"no link on {', '.join(dead)}")
