"""A build broken on purpose, which a drill has to notice; otherwise drills would show nothing."""

from __future__ import annotations

import random
import re

from tests.lab.beginning import Beginning, switch_on
from tests.lab.bringup import install
from tests.lab.drilling import Drilling, Failed, require

# drbd.conf(5): of its own accord DRBD then tells neither disk to write what it holds in its cache.
UNFLUSHED = "on-io-error detach; disk-flushes no; md-flushes no;"
# Until the next boot: a file that differs from the plan would be complained of in any case. Of the
# two options Linux 6.1 takes the one for the other (gfs2, Opt_barrier); /proc/mounts tells.
PLACE = "/srv/vmdata"
BREAK = (
    "cd /etc/drbd.d && cp -p vmdata.res /run/planned.res"
    f" && sed -i 's/on-io-error detach;/{UNFLUSHED}/' vmdata.res && drbdadm adjust vmdata"
    " && cp -p /run/planned.res vmdata.res && sync"
    " && drbdsetup show vmdata | grep -E 'disk-flushes[[:space:]]+no;'"
    f" && mount -o remount,nobarrier {PLACE}"
    f" && {{ grep nobarrier /proc/mounts || mount -o remount,barrier {PLACE}; }}"
    " && grep nobarrier /proc/mounts"
)
NOTICED = re.compile(r"lacks \d+ of \d+ acknowledged|withdraw|fatal: filesystem")


def flushes_ignored(drill: Beginning) -> None:
    """DRBD is told to flush no disk (`disk-flushes no`) and GFS2 to ask for no flush (`nobarrier`),
    as if somebody had broken them. Both nodes lose their power at once while both write: the audits
    must complain that acknowledged records are missing, or of a damaged file system.
    """
    with drill.servers() as pair:
        install(pair, drill.tell)
        switch_on(pair)
        drill.expect_whole(pair)
        drilling = Drilling(pair, drill.tell, random.Random())  # noqa: S311 - draws nothing
        try:
            lose(drilling)
        finally:
            drilling.stop()


def lose(drill: Drilling) -> None:
    """Break it on a pair in production, cut the power of both, and have the audits notice."""
    for server in drill.pair.servers:
        drill.pair.on(server, BREAK)
    drill.write()
    for server in drill.pair.servers:
        server.outlet.switch_off()
    switch_on(drill.pair)
    try:
        drill.finish()
    except Failed as seen:
        drill.tell("", f"noticed: {seen}")
        require(NOTICED.search(str(seen)), f"it failed for another reason: {seen}")
    else:
        raise Failed("nobody noticed")
