"""The date of everything a build writes."""

import os
import re
import time

from builder.cli.outcome import ENVIRONMENT, fail

# A record's date on an ISO has one byte for years since 1900 (ECMA-119, 9.1.5).
LATEST = 5_869_583_999


def build_time(default: int | None = None) -> int:
    """Seconds since 1970: SOURCE_DATE_EPOCH where it is set, else `default`, else now.

    https://reproducible-builds.org/specs/source-date-epoch/
    Fails where it is set to something that is no such number, or no date that a medium can bear.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        # int() would take blanks, underscores and other scripts' digits.
        if not re.fullmatch(r"[0-9]{1,10}", given) or int(given) > LATEST:
            what = f"SOURCE_DATE_EPOCH={given!r} is not a number of seconds from 0 to {LATEST}"
            fail(ENVIRONMENT, what, "unset it, or: export SOURCE_DATE_EPOCH=$(date +%s)")
        return int(given)
    return int(time.time()) if default is None else default
