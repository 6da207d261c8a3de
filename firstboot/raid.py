"""What HP's RAID tools say of the arrays. Pure.

hpacucli, hpssacli and ssacli are the same program under its successive names.
"""

import re
from dataclasses import dataclass

TOOLS = ("ssacli", "hpssacli", "hpacucli")
SHOW = ("ctrl", "all", "show", "config")

# "logicaldrive 1 (956.9 GB, RAID 5, OK)"; `ld all show status` has the state behind the brackets:
# "logicaldrive 1 (1.36 TB, RAID 5): OK". A level may have brackets of its own: "RAID 1(+0)".
_DRIVE = re.compile(
    r"\b(?P<kind>logical|physical)drive\s+(?P<name>[^\s(]+)\s*"
    r"\((?P<fields>(?:[^()\n]|\([^()\n]*\))*)\)(?::[ \t]*(?P<state>[^\n]+))?"
)
_SIZE = re.compile(r"(?:[\d.]+|-+|\?+) ?[KMGTP]?B", re.IGNORECASE)


@dataclass(frozen=True)
class Drive:
    """One array ("logicaldrive") or disk ("physicaldrive"), and its state in the tool's words."""

    kind: str
    name: str
    state: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} is {self.state or 'in no state the tool tells'}"


def parse(shown: str) -> list[Drive]:
    """Every drive in the tool's output, arrays and disks as they come."""
    return [
        Drive(f"{found['kind']}drive", found["name"], _state(found))
        for found in _DRIVE.finditer(shown)
    ]


def faults(drives: "list[Drive]") -> list[Drive]:
    """Those that are not whole: anything but OK, and what the tool says no state of."""
    return [drive for drive in drives if drive.state.split(",")[0] != "OK"]


def _state(found: "re.Match[str]") -> str:
    """What stands behind the size, and an array's level: "Recovering, 26% complete"."""
    if found["state"]:
        return found["state"].strip()
    fields = [field.strip() for field in found["fields"].split(",")]
    sizes = [n for n, field in enumerate(fields) if _SIZE.fullmatch(field)]
    if not sizes:
        return fields[-1]
    rest = fields[sizes[0] + 1 :]
    if found["kind"] == "logical" and rest and rest[0].startswith("RAID"):
        rest = rest[1:]
    return ", ".join(rest)
