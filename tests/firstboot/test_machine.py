"""The BMC's sensors, the clock, the root file system: words, levels, numbers; what a node is told.

tests/pair/test_sensors.py has real ipmitool's words.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from firstboot import clock, hardware, health, machine, monitoring, sensors
from firstboot.commands import CommandError, Result
from firstboot.exits import CRITICAL, OK, UNKNOWN, WARNING
from firstboot.health import GREEN, RED, YELLOW
from firstboot.monitoring import Number
from firstboot.raid import parse
from firstboot.sensors import Sensor
from firstboot.smart import Disk
from tests.firstboot.conftest import LIMITS

# In the shape of ipmitool 1.8.19's `sdr elist`, as it printed OpenIPMI's simulated BMC and as a
# public listing of ProLiants of the sixth and seventh generation has it (github.com/CollegeBoreal/
# Laboratoires, 3202/proliant/IPMI/README.md at 047d23750369c736e18c2ad9e1b7a07fe62c0fde).
ASSUMED = """\
UID Light        | 03h | ok  | 23.1 |
Power Supply 1   | 06h | ok  | 10.1 | {}
Power Supply 2   | 07h | ok  | 10.2 | 110 Watts, Presence detected
Power Supplies   | 08h | ok  | 10.3 | {}
Fan Block 1      | 09h | ok  |  7.1 | 21.56 percent, Transition to Running
Fans             | 0Dh | ok  |  7.5 | 0 percent, Fully Redundant
Temp 1           | 0Eh | ok  | 64.1 | 20 degrees C
Temp 4           | 11h | ns  |  8.1 | Disabled
Temp 17          | 1Eh | ok  |  8.10 | 30 degrees C
Memory           | 2Bh | ok  |  7.7 | Correctable ECC, Presence Detected
"""


def listed(
    supply: str = "95 Watts, Presence detected", all_of_them: str = "Fully Redundant"
) -> str:
    return ASSUMED.format(supply, all_of_them)


def test_a_server_in_order() -> None:
    found = sensors.parse(listed())
    assert len(found) == 9, "the one that is off tells nothing"
    assert [sensor.celsius for sensor in found if sensor.celsius is not None] == [20.0, 30.0]
    assert health.sensors(found).colour == GREEN
    reading = machine.sensors(found)
    assert reading.level == OK
    told = {(number.gauge, number.label): number.value for number in reading.numbers}
    assert told == {
        ("sensor_celsius", 'sensor="Temp 1"'): 20.0,
        ("sensor_celsius", 'sensor="Temp 17"'): 30.0,
        ("sensor_faults", ""): 0.0,
    }


@pytest.mark.parametrize(
    "state",
    [
        *("Failure detected", "Predictive failure", "Power Supply AC lost", "AC lost"),
        *("AC lost or out-of-range", "AC out-of-range, but present"),
        *("Config Error: Vendor Mismatch", "Redundancy Lost", "Redundancy Degraded"),
        *("Redundancy Degraded from Fully Redundant", "Non-Redundant: Insufficient Resources"),
        *("Non-Redundant: Sufficient from Redundant", "Predictive Failure Asserted"),
        *("Transition to Degraded", "Transition to Critical from less severe", "Drive Fault"),
    ],
)
def test_states_that_call_for_somebody(state: str) -> None:
    found = sensors.parse(listed(supply=f"0 Watts, Presence detected, {state}"))
    finding = health.sensors(found)
    assert finding.colour == YELLOW, "the server runs on"
    assert finding.text == f"Power Supply 1: 0 Watts, Presence detected, {state}"
    reading = machine.sensors(found)
    assert reading.level == WARNING
    assert reading.text.endswith("; next: ipmitool sdr elist")


@pytest.mark.parametrize(
    "state",
    [
        *("Predictive Failure Deasserted", "State Asserted", "Transition to OK", "Device Absent"),
        *("Transition to Running", "Transition to Power Save", "Fully Redundant", "Drive Present"),
        "Power Supply Inactive",
    ],
)
def test_states_that_do_not(state: str) -> None:
    assert health.sensors(sensors.parse(listed(supply=state))).colour == GREEN


@pytest.mark.parametrize(
    ("reading", "state", "colour"),
    [
        ("82 degrees C", "unc", YELLOW),
        ("88 degrees C", "ucr", RED),
        ("95 degrees C", "unr", RED),
        ("-4 degrees C", "lcr", YELLOW),
        ("0 RPM", "lnr", YELLOW),
        ("2.10 Volts", "lcr", YELLOW),
        ("13.90 Volts", "unr", YELLOW),
    ],
)
def test_only_heat_switches_a_server_off(reading: str, state: str, colour: str) -> None:
    finding = health.sensors([Sensor("X", state, reading)])
    assert finding.colour == colour
    assert finding.text == f"X: {reading} ({state})"


def test_a_name_that_stands_twice_has_its_number() -> None:
    line = "Temp             | 0{}h | ok  |  3.1 | 40 degrees C\n"
    names = [sensor.name for sensor in sensors.parse(line.format("E") + line.format("F"))]
    assert names == ["Temp 0Eh", "Temp 0Fh"]


def test_sensors_that_the_profile_does_not_listen_to() -> None:
    found = sensors.parse(listed(supply="Failure detected", all_of_them="Redundancy Lost"))
    quiet = dataclasses.replace(LIMITS, quiet_sensors=("Power Supply 1",))
    assert health.sensors(sensors.heard(found, LIMITS)).text.count(": ") == 2
    finding = health.sensors(sensors.heard(found, quiet))
    assert finding.text == "Power Supplies: Redundancy Lost"


def test_a_bmc_that_tells_nothing() -> None:
    assert sensors.parse("Get SDR 0000 command failed\n") == []
    assert health.sensors([]).colour == ""
    assert machine.sensors([]).level == UNKNOWN


class Bmc:
    """What `ipmitool` and `modprobe` are asked; the answer to the first."""

    def __init__(self, text: str = "", code: int = 0) -> None:
        self.text, self.code = text, code
        self.asked: list[str] = []

    def __call__(self, argv: Sequence[str], *, ok: "tuple[int, ...]" = (0,), **_: object) -> Result:
        self.asked.append(" ".join(argv))
        code = self.code if argv[0] == "ipmitool" else 0
        assert code in ok
        return Result(tuple(argv), code, self.text, "no answer")


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_machine_without_a_bmc_has_no_such_part(tmp_path: Path) -> None:
    bmc = Bmc(listed())
    assert hardware.told(tmp_path, bmc) is None
    lay(tmp_path, "usr/bin/ipmitool")
    assert hardware.told(tmp_path, bmc) is None
    assert bmc.asked == []


def test_the_door_to_the_bmc_is_opened_where_there_is_one(tmp_path: Path) -> None:
    """ipmi_si comes by itself, by what the firmware says; nothing loads ipmi_devintf."""
    bmc = Bmc(listed())
    lay(tmp_path, "usr/bin/ipmitool", "sys/firmware/dmi/entries/38-0/raw")
    assert hardware.told(tmp_path, bmc)
    assert bmc.asked == ["modprobe ipmi_devintf", "ipmitool sdr elist"]
    lay(tmp_path, "dev/ipmi0")
    assert hardware.told(tmp_path, bmc)
    assert bmc.asked[2:] == ["ipmitool sdr elist"]


def test_a_list_with_an_error_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    lay(tmp_path, "usr/bin/ipmitool", "dev/ipmi0")
    assert hardware.told(tmp_path, Bmc(listed(), 1))
    with pytest.raises(CommandError, match="no answer"):
        hardware.told(tmp_path, Bmc("", 1))
    assert hardware.told(tmp_path, Bmc("", 0)) == []


def test_disks_for_monitoring() -> None:
    well = Disk("/dev/sda", "S1", "", False, 31, None, 0)
    failing = Disk('/dev/bus/0 "x', "S2", "it is not reliable any more", False, None, 3, None)
    reading = machine.disks([well], LIMITS)
    assert (reading.level, reading.text) == (OK, "1 are well")
    reading = machine.disks([well, failing], LIMITS)
    assert reading.level == CRITICAL
    assert [(number.gauge, number.label, number.value) for number in reading.numbers] == [
        ("disk_failing", 'disk="/dev/sda"', 0.0),
        ("disk_celsius", 'disk="/dev/sda"', 31.0),
        ("disk_bad_sectors", 'disk="/dev/sda"', 0.0),
        ("disk_failing", 'disk="/dev/bus/0 _x"', 1.0),
        ("disk_worn_percent", 'disk="/dev/bus/0 _x"', 3.0),
    ]
    assert machine.disks([], LIMITS).level == UNKNOWN


ARTICLE = Path(__file__).parent / "raid"

# chronyc 4.3 of a chronyd that served its own time, and of one that reached no server.
SERVING = (
    "7F7F0101,,10,1795705915.489244877,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,"
    "0.000000000,0.000000000,0.0,Normal\n"
)
LOST = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,"
    "1.000000000,1.000000000,0.0,Not synchronised\n"
)


def test_the_clock() -> None:
    assert clock.parse(SERVING) == 0.0
    assert clock.parse(SERVING.replace("877,0.000000000", "877,-0.500000000", 1)) == 0.5
    assert clock.parse(LOST) is None
    with pytest.raises(ValueError, match="1 fields"):
        clock.parse("506 Cannot talk to daemon\n")


@pytest.mark.parametrize(
    ("offset_s", "level", "said"),
    [
        (0.0, OK, "off by 0.000 ms"),
        (0.4999, OK, "off by 499.900 ms"),
        (0.5, WARNING, "off by 500.000 ms; next: chronyc"),
        (None, WARNING, "follows no server; next: chronyc"),
    ],
)
def test_levels_of_the_clock(offset_s: "float | None", level: int, said: str) -> None:
    reading = machine.clock(offset_s, LIMITS)
    assert reading.level == level
    assert said in reading.text


def test_the_articles_raid() -> None:
    shown = next(ARTICLE.glob("*article*")).read_text()
    whole = monitoring.raid(parse(shown), "hpacucli ctrl all show config")
    assert whole.level == OK
    assert whole.numbers[0].value > 1
    broken = monitoring.raid(parse(shown.replace("OK)", "Failed)", 1)), "hpacucli")
    assert broken.level == CRITICAL
    assert broken.numbers[1] == Number("raid_faults", 1.0)
    assert monitoring.raid([], "hpacucli").level == UNKNOWN


@pytest.mark.parametrize(("used", "level"), [(69, OK), (70, WARNING), (71, CRITICAL)])
def test_how_full_is_too_full_is_the_profiles(used: int, level: int) -> None:
    limits = dataclasses.replace(LIMITS, full_warning_percent=70, full_critical_percent=71)
    reading = monitoring.file_system("/", True, 100, used, limits, "root")
    assert reading.level == level
    assert reading.numbers[1] == Number("root_used_bytes", float(used))
