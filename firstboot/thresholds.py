"""From where on monitoring warns, as the profile has it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Monitoring:
    """Thresholds of `ksnode check` and `ksnode health`; keys as in the profile, units in the names.

    ``quiet_sensors`` are names of the BMC's sensors that are not listened to.
    """

    full_warning_percent: int
    full_critical_percent: int
    disk_celsius: int
    disk_worn_percent: int
    disk_bad_sectors: int
    clock_offset_ms: int
    quiet_sensors: tuple[str, ...]
