"""The BMC's sensors: real ipmitool of OpenIPMI's simulated BMC, from its records to a colour."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstboot import commands, hardware, health
from firstboot.health import GREEN, RED, YELLOW
from tests.pair.sdr import (
    CELSIUS,
    FAN,
    POWER_SUPPLY,
    REDUNDANCY,
    RPM,
    TEMPERATURE,
    measuring,
    stating,
)
from tests.pair.simulated import VENDORS_IPMITOOL, simulated

# Of power supplies: present, failed, its AC gone. Of redundancy: full, lost.
PRESENT, FAILED, NO_AC = 0, 1, 3
FULL, LOST = 0, 1
WELL: dict[str, int | tuple[int, ...]] = {
    "supply 1": (PRESENT,),
    "supply 2": (PRESENT,),
    "supplies": (FULL,),
    "fans": (FULL,),
    "inlet": 21,
    "cpu": 40,
    "fan": 90,
}


def machine(values: dict[str, int | tuple[int, ...]]) -> str:
    """A server with two supplies, redundant fans, and thermometers, numbered as its BMC does."""
    states = {name: value for name, value in values.items() if isinstance(value, tuple)}
    shown = {name: value for name, value in values.items() if isinstance(value, int)}
    supply = {"kind": POWER_SUPPLY}
    return "".join(
        (
            stating(6, "Power Supply 1", entity=(10, 1), states=states["supply 1"], **supply),
            stating(7, "Power Supply 2", entity=(10, 2), states=states["supply 2"], **supply),
            stating(
                8, "Power Supplies", entity=(10, 3), states=states["supplies"], event=REDUNDANCY,
                **supply,
            ),
            stating(9, "Fans", kind=FAN, entity=(7, 5), states=states["fans"], event=REDUNDANCY),
            measuring(10, "Temp", entity=(64, 1), value=shown["inlet"], upper=(46, 42, 38),
                kind=TEMPERATURE, unit=CELSIUS),
            measuring(
                11, "Temp", entity=(65, 1), value=shown["cpu"], upper=(87, 82, 0), lower=(0, 5, 0),
                kind=TEMPERATURE, unit=CELSIUS,
            ),
            measuring(
                12, "Fan 1", kind=FAN, entity=(29, 1), unit=RPM, value=shown["fan"],
                lower=(0, 50, 60),
            ),
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "colour", "said"),
    [
        ({}, GREEN, "7 are well"),
        (
            {"supply 1": (PRESENT, FAILED)},
            YELLOW,
            "Power Supply 1: Presence detected, Failure detected",
        ),
        ({"supply 2": (PRESENT, NO_AC)}, YELLOW, "AC lost"),
        ({"supplies": (LOST,)}, YELLOW, "Power Supplies: Redundancy Lost"),
        ({"fans": (3,)}, YELLOW, "Fans: Non-Redundant: Sufficient from Redundant"),
        ({"fan": 55}, YELLOW, "Fan 1: 55 RPM (lnc)"),
        ({"fan": 40}, YELLOW, "Fan 1: 40 RPM (lcr)"),
        ({"inlet": 40}, YELLOW, "Temp 0Ah: 40 degrees C (unc)"),
        ({"cpu": 2}, YELLOW, "Temp 0Bh: 2 degrees C (lcr)"),
        ({"cpu": 84}, RED, "Temp 0Bh: 84 degrees C (ucr)"),
        ({"inlet": 46, "fan": 40}, RED, "Temp 0Ah: 46 degrees C (unr)"),
    ],
)
def test_what_the_bmc_says(
    tmp_path: Path, change: dict[str, int | tuple[int, ...]], colour: str, said: str
) -> None:
    tool = tmp_path / "usr/bin/ipmitool"
    tool.parent.mkdir(parents=True)
    tool.touch()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/ipmi0").touch()
    with simulated(tmp_path, machine({**WELL, **change})):
        found = hardware.told(tmp_path, commands.run, VENDORS_IPMITOOL)
    assert found is not None
    finding = health.sensors(found)
    assert finding.colour == colour, finding.text
    assert said in finding.text
