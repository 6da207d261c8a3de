"""The date of everything a build writes."""

import os
import time


def build_time(default: int | None = None) -> int:
    """Seconds since 1970: SOURCE_DATE_EPOCH where it is set, else `default`, else now.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return int(given)
    return int(time.time()) if default is None else default
