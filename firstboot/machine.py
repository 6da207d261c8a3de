"""What monitoring is told of the machine itself: disks, the BMC's sensors, the clock. Pure."""

from collections.abc import Sequence
from typing import Optional

from firstboot import health
from firstboot.exits import CRITICAL, OK, UNKNOWN, WARNING
from firstboot.health import Finding
from firstboot.monitoring import Number, Reading
from firstboot.sensors import Sensor
from firstboot.smart import Disk
from firstboot.thresholds import Monitoring
from firstboot.verification.oddities import NEXT

LEVELS = {"": UNKNOWN, health.GREEN: OK, health.YELLOW: WARNING, health.RED: CRITICAL}


def disks(found: Sequence[Disk], limits: Monitoring) -> Reading:
    """As pacemaker is told: critical when one foretells its end."""
    numbers = [
        Number(gauge, float(value), f'disk="{_plain(disk.name)}"')
        for disk in found
        for gauge, value in (
            ("disk_failing", bool(disk.failing)),
            ("disk_celsius", disk.celsius),
            ("disk_worn_percent", disk.worn_percent),
            ("disk_bad_sectors", disk.bad_sectors),
        )
        if value is not None
    ]
    return _reading(health.disks(found, limits), "smartctl --scan-open", numbers)


def sensors(found: Sequence[Sensor]) -> Reading:
    """As pacemaker is told: critical when it is so hot that the server will switch itself off."""
    numbers = [
        Number("sensor_celsius", sensor.celsius, f'sensor="{_plain(sensor.name)}"')
        for sensor in found
        if sensor.celsius is not None
    ]
    if found:
        numbers.append(Number("sensor_faults", float(sum(sensor.bad for sensor in found))))
    return _reading(health.sensors(found), "ipmitool sdr elist", numbers)


def clock(offset_s: Optional[float], limits: Monitoring) -> Reading:
    """None: it follows nothing. Never critical: pacemaker and DRBD don't read the clock."""
    if offset_s is None:
        return Reading(WARNING, f"the clock follows no server{NEXT}chronyc -n sources")
    numbers = (Number("clock_offset_seconds", offset_s),)
    text = f"the clock is off by {offset_s * 1000:.3f} ms"
    if offset_s * 1000 >= limits.clock_offset_ms:
        return Reading(WARNING, f"{text}{NEXT}chronyc -n sources", numbers)
    return Reading(OK, text, numbers)


def _reading(finding: Finding, command: str, numbers: Sequence[Number]) -> Reading:
    level = LEVELS[finding.colour]
    way_out = "" if level == OK else f"{NEXT}{command}"
    return Reading(level, f"{finding.text}{way_out}", tuple(numbers))


def _plain(name: str) -> str:
    """A name between quotes, of Prometheus' and of Nagios' alike."""
    return "".join("_" if char in "\"'\\=|" or ord(char) < ord(" ") else char for char in name)
