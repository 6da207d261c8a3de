"""Sensors for OpenIPMI's simulated BMC, as lines of ipmi_sim_cmd(5): records and what they read.

Layout of the records: IPMI 2.0, tables 43-1 and 43-2.
"""

from __future__ import annotations

from collections.abc import Sequence

CELSIUS, RPM = 1, 18  # table 43-15
TEMPERATURE, FAN, POWER_SUPPLY = 1, 4, 8  # table 42-3
THRESHOLD, REDUNDANCY, OWN = 0x01, 0x0B, 0x6F  # table 42-1


def measuring(
    number: int, name: str, *, kind: int, entity: tuple[int, int], unit: int, value: int,
    upper: Sequence[int] = (0, 0, 0), lower: Sequence[int] = (0, 0, 0),
) -> str:  # fmt: skip
    """A full record; thresholds from not recoverable to not critical, 0 for none."""
    enabled = [bool(each) for each in (*upper, *lower)]
    readable = sum(1 << place for place, on in enumerate(reversed(enabled)) if on)
    body = [
        *(0x20, 0, number, *entity, 0x7F, 0x68, kind, THRESHOLD),
        *(0, 0, 0, 0, readable, 0, 0, unit, 0),
        *(0, 1, 0, 0, 0, 0, 0, 0),  # one for one
        *(0, 0, 0, 0xFF, 0, *upper, *lower, 0, 0, 0, 0, 0),
    ]
    bits = "".join("01"[on] for on in enabled)
    values = " ".join(str(each) for each in (*upper, *lower))
    return (
        _record(number, 1, body, name)
        + f"sensor_add 0x20 0 {number} {kind} {THRESHOLD}\n"
        + f"sensor_set_threshold 0x20 0 {number} readable {bits} {values}\n"
        + f"sensor_set_value 0x20 0 {number} {value} 0\n"
    )


def stating(
    number: int, name: str, *, kind: int, entity: tuple[int, int], states: Sequence[int],
    event: int = OWN,
) -> str:  # fmt: skip
    """A compact record of a sensor that is in some of fifteen states, by their numbers."""
    body = [
        *(0x20, 0, number, *entity, 0x63, 0x40, kind, event),
        *(0, 0, 0, 0, 0xFF, 0x7F, 0xC0, 0, 0),
        *(1, 0, 0, 0, 0, 0, 0, 0),
    ]
    lines = f"sensor_add 0x20 0 {number} {kind} {event}\n"
    lines += "".join(f"sensor_set_bit 0x20 0 {number} {state} 1 0\n" for state in states)
    return _record(number, 2, body, name) + lines


def _record(number: int, kind: int, body: Sequence[int], name: str) -> str:
    text = name.encode("ascii")
    whole = [number, 0, 0x51, kind, len(body) + 1 + len(text), *body, 0xC0 | len(text), *text]
    return f"main_sdr_add 0x20 {' '.join(f'0x{byte:02x}' for byte in whole)}\n"
