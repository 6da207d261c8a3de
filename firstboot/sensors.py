"""What the node's own BMC tells of temperatures, fans and power supplies. Pure.

`ipmitool sdr elist` prints a line a sensor, five columns: name, number, state, entity, reading. Its
-c has fewer columns for some sensors, and `sensor` calls every discrete state a number. The words
of the states are ipmitool's own (include/ipmitool/ipmi_sel.h, 1.8.18 and later), for IPMI 2.0's
table 42-2 and 42-3.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from firstboot.thresholds import Monitoring

LIST = ("sdr", "elist")

_LINE = re.compile(
    r"(?P<name>.*?) *\| (?P<number>[0-9A-F]{2})h \| (?P<state>\w+) *\| *\d+\.\d+ \|(?P<reading>.*)"
)
# Of a reading beyond a threshold: lower or upper; not critical, critical, not recoverable.
_BEYOND = {"lnc", "lcr", "lnr", "unc", "ucr", "unr"}
_SWITCHES_OFF = {"ucr", "unr"}
_CELSIUS = re.compile(r"(-?[\d.]+) degrees C")
_BAD = re.compile(
    "|".join(
        (
            # What is "AC out-of-range, but present" is split at its comma.
            # A power supply, a power unit, a disk; whether there are enough of them.
            *("(?:Predictive )?[Ff]ailure(?: detected)?", "Predictive Failure Asserted"),
            *("(?:Power Supply )?AC lost.*", "AC out-of-range", "Config Error.*"),
            *("Redundancy (?:Lost|Degraded).*", "Non-Redundant.*", "Drive Fault"),
            # A fan, or whatever else tells how bad it is.
            *("Transition to Degraded", "Transition to Off Line"),
            "Transition to (?:Non-critical|Critical|Non-recoverable).*",
        )
    )
)


@dataclass(frozen=True)
class Sensor:
    """One sensor; `reading` is what it measures and the states it is in, in ipmitool's words."""

    name: str
    state: str
    reading: str

    @property
    def celsius(self) -> Optional[float]:
        """What a thermometer shows; None of any other sensor."""
        found = _CELSIUS.fullmatch(self.reading)
        return float(found[1]) if found else None

    @property
    def bad(self) -> bool:
        """Whether it is beyond a threshold of its own, or in a state that calls for somebody."""
        if self.state in _BEYOND:
            return True
        return any(_BAD.fullmatch(part) for part in self.reading.split(", "))

    @property
    def switches_off(self) -> bool:
        """Whether the server is so hot that it will switch itself off."""
        return self.celsius is not None and self.state in _SWITCHES_OFF

    def __str__(self) -> str:
        beyond = f" ({self.state})" if self.state in _BEYOND else ""
        return f"{self.name}: {self.reading}{beyond}"


def parse(listed: str) -> list[Sensor]:
    """Every sensor that has a reading; one whose name stands twice has its number in it."""
    rows = [found for line in listed.splitlines() if (found := _LINE.fullmatch(line))]
    names = [row["name"] for row in rows]
    return [
        Sensor(
            row["name"] if names.count(row["name"]) == 1 else f"{row['name']} {row['number']}h",
            row["state"],
            row["reading"].strip(),
        )
        for row in rows
        if row["state"] != "ns"
    ]


def heard(found: Sequence[Sensor], limits: Monitoring) -> list[Sensor]:
    """Those that the profile listens to."""
    return [sensor for sensor in found if sensor.name not in limits.quiet_sensors]
