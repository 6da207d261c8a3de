"""What smartctl says of the disks. Pure.

smartmontools 7.2 and later: smartctl(8). Its exit status is a mask of bits and says nothing that
the JSON does not say better; only "there is no such disk" is read from it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from firstboot.thresholds import Monitoring

SCAN = ("--scan-open",)
# A disk that sleeps is left asleep, with status 0; "ssd" is the wear of those that wear. Without
# --info a SCSI disk that has no SMART passes.
LOOK = (*("--nocheck=standby,0", "--info", "--health", "--attributes", "--log=ssd"),)
UNOPENED = 2  # bit 1

# NVMe Base Specification 2.0, figure 207, "Critical Warning"; bit 1 is only the temperature.
_HOT = 1 << 1
_SCSI_HOT = (0x0B, 0x01)  # additional sense code "WARNING - SPECIFIED TEMPERATURE EXCEEDED"
_WARNINGS = {
    1 << 0: "its spare is used up",
    1 << 2: "it is not reliable any more",
    1 << 3: "it can only be read",
    1 << 4: "its cache is not saved when power is lost",
    1 << 5: "its persistent memory can only be read",
}
# Normalised from 100 down; for disks whose statistics don't tell.
_LEFT = ("Media_Wearout_Indicator", "Wear_Leveling_Count", "Percent_Lifetime_Remain")


@dataclass(frozen=True)
class Device:
    """A disk as smartctl reaches it: "/dev/bus/0" by "megaraid,4"."""

    path: str
    kind: str

    @property
    def name(self) -> str:
        """As `SMARTCTL NAME` would take it, the kind only where there are several behind a path."""
        return f"{self.path} {self.kind}" if "," in self.kind else self.path


@dataclass(frozen=True)
class Disk:
    """What a disk tells; None where it does not.

    ``failing`` is what it says of its end, "" when it does not see it. ``bad_sectors`` are those it
    replaced, cannot read or, of NVMe, could not read. ``too_hot``: it says so itself.
    """

    name: str
    serial: str
    failing: str
    too_hot: bool
    celsius: Optional[int]
    worn_percent: Optional[int]
    bad_sectors: Optional[int]

    def __str__(self) -> str:
        return f"{self.name} ({self.serial})" if self.serial else self.name


def devices(scanned: str) -> list[Device]:
    """What SCAN found and could open. Raises ValueError."""
    found = json.loads(scanned).get("devices", [])
    return [Device(each["name"], each["type"]) for each in found if "open_error" not in each]


def is_there(looked: str) -> bool:
    """Whether LOOK found a disk at all. Raises ValueError."""
    return not json.loads(looked)["smartctl"]["exit_status"] & UNOPENED


def disk(device: Device, looked: str) -> Optional[Disk]:
    """What LOOK told of it; None of a disk without SMART or asleep. Raises ValueError."""
    told = json.loads(looked)
    nvme = told.get("nvme_smart_health_information_log", {})
    warning = nvme.get("critical_warning", 0)
    scsi = told.get("smart_status", {}).get("scsi", {})
    hot = (scsi.get("asc"), scsi.get("ascq")) == _SCSI_HOT
    if "smart_status" not in told and not nvme:
        return None
    return Disk(
        name=device.name,
        serial=told.get("serial_number", ""),
        failing=_nvme_end(warning) if nvme else "" if hot else _end(told),
        too_hot=hot or bool(warning & _HOT),
        celsius=told.get("temperature", {}).get("current"),
        worn_percent=next(_worn(told), None),
        bad_sectors=_bad_sectors(told),
    )


def worries(disk: Disk, limits: Monitoring) -> list[str]:
    """What of a disk that does not fail is beyond the thresholds."""
    found = []
    if disk.bad_sectors is not None and disk.bad_sectors >= limits.disk_bad_sectors:
        found.append(f"has bad sectors: {disk.bad_sectors}")
    if disk.worn_percent is not None and disk.worn_percent >= limits.disk_worn_percent:
        found.append(f"is worn to {disk.worn_percent}%")
    # What is too hot for an NVMe disk it knows itself; they are made to be warmer than others.
    nvme = disk.name.startswith("/dev/nvme")
    hot = disk.celsius is not None and disk.celsius >= limits.disk_celsius and not nvme
    if hot or disk.too_hot:
        found.append(f"is too hot: {disk.celsius} °C")
    return found


def _end(told: Mapping[str, Any]) -> str:
    """Of ATA the attributes that foretell it within a day, of SAS the disk's own words."""
    now = [
        each["name"]
        for each in told.get("ata_smart_attributes", {}).get("table", [])
        if each["when_failed"] == "now" and each["flags"]["prefailure"]
    ]
    if now:
        return f"it foretells its end by {', '.join(now)}"
    if told["smart_status"].get("passed", True):
        return ""
    return told["smart_status"].get("scsi", {}).get("ie_string") or "it foretells its end"


def _nvme_end(warning: int) -> str:
    left = warning & ~_HOT
    known = [text for bit, text in _WARNINGS.items() if left & bit]
    return ", ".join(known) or (f"it gives warning {left:#x}" if left else "")


def _worn(told: Mapping[str, Any]) -> "Iterator[int]":
    """Percent of its life in writes, the best source first; may be more than 100."""
    for place, name in (
        ("endurance_used", "current_percent"),
        ("nvme_smart_health_information_log", "percentage_used"),
    ):
        if name in told.get(place, {}):
            yield told[place][name]
    if "scsi_percentage_used_endurance_indicator" in told:
        yield told["scsi_percentage_used_endurance_indicator"]
    for page in told.get("ata_device_statistics", {}).get("pages", []):
        for row in page.get("table", []):
            if row["name"] == "Percentage Used Endurance Indicator" and row["flags"]["valid"]:
                yield row["value"]
    attributes = _attributes(told)
    yield from (100 - attributes[name]["value"] for name in _LEFT if name in attributes)


def _bad_sectors(told: Mapping[str, Any]) -> Optional[int]:
    for place, name in (
        (told, "scsi_grown_defect_list"),
        (told.get("nvme_smart_health_information_log", {}), "media_errors"),
    ):
        if name in place:
            return int(place[name])
    raw = {name: _raw(each) for name, each in _attributes(told).items()}
    # What can't be read is mostly counted by both.
    unread = max(raw.get("Current_Pending_Sector", 0), raw.get("Offline_Uncorrectable", 0))
    replaced = raw.get("Reallocated_Sector_Ct")
    return replaced if replaced is None else replaced + unread


def _attributes(told: Mapping[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in told.get("ata_smart_attributes", {}).get("table", [])}


def _raw(attribute: Mapping[str, Any]) -> int:
    """Some makers pack more than the count into the number; the text begins with it."""
    found = re.match(r"\d+", attribute["raw"]["string"])
    return int(found[0]) if found else 0
