"""Section of the profile for what the nodes watch."""

from typing import Annotated

from pydantic import Field

from builder.profile.strict import Strict
from builder.profile.values import Text


class Monitoring(Strict):
    """From where on `ksnode check` and `ksnode health` warn; may be changed in life."""

    full_warning_percent: Annotated[int, Field(ge=1, le=99)] = 80
    """A file system fuller than this is a warning: / and the shared one."""
    full_critical_percent: Annotated[int, Field(ge=2, le=100)] = 90
    """And from here on critical: GFS2 gets slow and then stuck when it is full."""
    disk_celsius: Annotated[int, Field(ge=30, le=100)] = 60
    """°C from which on a disk is too hot; an NVMe disk says so itself."""
    disk_worn_percent: Annotated[int, Field(ge=1, le=255)] = 90
    """Share of the writes that a disk is made for, from which on it is worn."""
    disk_bad_sectors: Annotated[int, Field(ge=1, le=1000000)] = 10
    """Sectors that a disk replaced or cannot read, from which on it is worth a warning."""
    clock_offset_ms: Annotated[int, Field(ge=1, le=60000)] = 500
    """Milliseconds by which a clock may be off."""
    quiet_sensors: list[Text] = []
    """Sensors of the BMC that are not listened to, by name, as a fan that was never there."""
