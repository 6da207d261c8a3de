"""Exit statuses of ksnode. They never change."""

OK, FAILED, BAD_PLAN, REFUSED, DIFFERENT, BUSY = 0, 1, 3, 5, 7, 75
WARNING, CRITICAL, UNKNOWN = 1, 2, 3  # Nagios' own, of `ksnode check`
