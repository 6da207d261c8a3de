"""What chronyd says of the node's clock. Pure."""

from typing import Optional

# -c: one line of fields without titles, as chronyc(1) has them in its table of `tracking`.
TRACKING = ("-n", "-c", "tracking")
_OFFSET, _LEAP, _FIELDS = 4, 13, 14


def parse(tracking: str) -> Optional[float]:
    """Seconds by which the clock is off, ahead or behind; None while it follows nothing.

    Raises ValueError when the line is another one.
    """
    fields = tracking.strip().split(",")
    if len(fields) != _FIELDS:
        raise ValueError(f"chronyc tells {len(fields)} fields, not {_FIELDS}")
    return None if fields[_LEAP] == "Not synchronised" else abs(float(fields[_OFFSET]))
