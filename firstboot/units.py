"""systemd's units as values. Parsing is pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from firstboot.commands import Run

_PROPERTIES = "Id,UnitFileState,ActiveState,ConditionResult,ConditionTimestampMonotonic"


@dataclass(frozen=True)
class Unit:
    """Whether it starts with the system, whether it is running, and whether it was started in vain.

    `held_back`: one of its own conditions does not hold here (systemd.unit(5), Condition...=).
    """

    enabled: bool
    active: bool
    held_back: bool


def states(run: Run, names: Sequence[str]) -> dict[str, Unit]:
    """Name -> its state; a unit that is not installed is neither enabled nor active. Reads only."""
    return parse(run(["systemctl", "show", f"--property={_PROPERTIES}", *names]).stdout)


def parse(shown: str) -> dict[str, Unit]:
    """`systemctl show` of several units: blocks of KEY=VALUE."""
    blocks = [dict(line.split("=", 1) for line in b.splitlines()) for b in shown.split("\n\n")]
    return {
        block["Id"]: Unit(
            enabled=block["UnitFileState"] == "enabled",
            active=block["ActiveState"] == "active",
            held_back=block["ConditionResult"] == "no"
            and block["ConditionTimestampMonotonic"] != "0",
        )
        for block in blocks
        if block
    }
