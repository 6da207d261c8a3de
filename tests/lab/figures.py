"""What the settings are worth: figures of one pair, each as a ratio to what it would be without."""

from __future__ import annotations

import calendar
import json
import re
import shlex
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from firstboot.journal import STATE
from firstboot.node import SCHEMA, Identity
from firstboot.render.kernel import settings
from tests.lab import audits
from tests.lab.drilling import SETTLE_S, Drilling, Failed, require
from tests.uml.pair import Server

SECONDS, MOST_MIB, BEHIND_MIB = 5, 256, 1024
OLD_LIMIT = (
    100  # POSIX locks a second: what RHEL 5's gfs_controld allowed, and the article measured
)
KERNELS_OWN = {"vm.dirty_ratio": "20", "vm.dirty_background_ratio": "10"}  # sysctl/vm.rst
SERVER_KIB = 64 << 20  # memory of the server whose limits are tried here, in proportion
TRIES = 3  # of each, in turn: one alone tells more of the machine below
_RUN = """
import json, sys
sys.path.insert(0, "/usr/lib/ksbuild/firstboot.pyz")
from pathlib import Path
from firstboot.verification import disk, locks
folder = Path("/srv/vmdata")
"""
_LOCKS = f"""{_RUN}
path = folder / "figures.locks"
if sys.argv[1:]:
    locks.prepare(path)
print(json.dumps(locks.measure(path, {SECONDS}).rate))
"""
_STALL = f"""{_RUN}
seen = disk.measure(folder, "figures", seconds={SECONDS}, most_mib={MOST_MIB})
print(json.dumps(seen.small_longest_ms))
"""


def measure(drill: Drilling) -> None:
    """What the profile's settings are worth on this very pair: POSIX locks owned, shared and with
    RHEL 5's limit, what a first sync takes and what it takes to skip it, and the longest write with
    our limit of dirty memory and with the kernel's own.
    Nothing has to be faster than anything else; afterwards all audits hold.
    """
    first = drill.pair.servers[0]
    owned, both_owned = alone(drill, first), together(drill)
    note(drill, "locks a second on one node", owned)
    note(drill, "locks a second on both nodes", both_owned)
    note(drill, "times those with RHEL 5's limit", owned / with_limit(drill, first))
    stall, kernels_stall = stalls(drill, first)
    note(drill, "longest small write, ms", stall)
    note(drill, "times shorter than with the kernel's own dirty_ratio", kernels_stall / stall)
    left_behind(drill)
    own_locks(drill, owned=False)
    full = synced_s(drill)
    note(drill, "full sync, seconds for a GiB", full)
    note(drill, "times as long as to skip it", full / skipped_s(drill))
    note(drill, "times those with plock_ownership = 0", owned / alone(drill, first))
    note(drill, "times those on both with plock_ownership = 0", both_owned / together(drill))
    own_locks(drill, owned=True)
    drill.finish()


def note(drill: Drilling, name: str, value: float) -> None:
    """Tell a figure and keep it, whatever becomes of the next."""
    drill.figures[name] = value
    drill.tell("", f"{name}: {value:.2f}")


def python(drill: Drilling, server: Server, script: str, *arguments: str) -> float:
    """The number that a script printed on a node."""
    command = shlex.join(["python3", "-c", script, *arguments])
    return float(json.loads(drill.pair.on(server, command, timeout=300)))


def alone(drill: Drilling, server: Server) -> float:
    """Locks a second on one node, the other idle."""
    return python(drill, server, _LOCKS, "new")


def together(drill: Drilling) -> float:
    """Locks a second of both nodes on one file, added up."""
    with ThreadPoolExecutor() as threads:
        return sum(threads.map(lambda s: python(drill, s, _LOCKS), drill.pair.servers))


def with_limit(drill: Drilling, server: Server) -> float:
    """Locks a second on one node with the limit of old."""
    limit = "dlm_tool set_config plock_rate_limit={}"
    drill.pair.on(server, limit.format(OLD_LIMIT))
    try:
        return alone(drill, server)
    finally:
        drill.pair.on(server, limit.format(drill.pair.plan.cluster.plock_rate_limit))


def stalls(drill: Drilling, server: Server) -> tuple[float, float]:
    """The longest small write beside a stream, ms, the middle one of its tries: with our settings,
    and with the kernel's own. Ours is a size and the kernel's a share of memory, so ours is as much
    less here as the node has less memory than a server of 64 GiB: else ours were the larger one.
    """
    words = drill.pair.on(server, "grep MemTotal /proc/meminfo").split()
    planned = settings(Identity(SCHEMA, server.name, drill.pair.plan))
    dirty = {name: value for name, value in planned.items() if name.startswith("vm.dirty")}
    ours = {name: str(int(value) * int(words[1]) // SERVER_KIB) for name, value in dirty.items()}
    seen: dict[bool, list[float]] = {True: [], False: []}
    try:
        for own in (True, False) * TRIES:
            set_kernel(drill, server, ours if own else KERNELS_OWN)
            seen[own].append(python(drill, server, _STALL))
    finally:
        set_kernel(drill, server, planned)
    drill.tell(server.name, f"longest small writes, ms: {seen[True]}, the kernel's: {seen[False]}")
    return statistics.median(seen[True]), statistics.median(seen[False])


def set_kernel(drill: Drilling, server: Server, values: dict[str, str]) -> None:
    """Set what this kernel has of these."""
    words = shlex.join([f"{name}={value}" for name, value in values.items()])
    drill.pair.on(server, f"sysctl --ignore --quiet --write {words}")


def left_behind(drill: Drilling) -> None:
    """The second node's cluster stops, and the first writes what the two have to synchronise."""
    first, second = drill.pair.servers
    drill.pair.on(second, "systemctl stop pacemaker corosync", timeout=300)
    behind = f"dd if=/dev/urandom of=/srv/vmdata/figures.behind bs=1M count={BEHIND_MIB} conv=fsync"
    drill.pair.on(first, f"{behind} status=none", timeout=300)


def synced_s(drill: Drilling) -> float:
    """Seconds that the last sync took for each GiB, by the kernel's word."""
    first, _ = drill.pair.servers
    log = drill.pair.on(first, "journalctl -k -b --no-pager -o cat; rm /srv/vmdata/figures.behind")
    done = re.findall(r"Resync done \(total \d+ sec; paused \d+ sec; (\d+) K/sec\)", log)
    require(done, "no sync was seen")
    return (1 << 20) / int(done[-1])


def skipped_s(drill: Drilling) -> float:
    """Seconds that the agent took to skip the first sync, for each GiB of the volume."""
    first, _ = drill.pair.servers
    size = drill.pair.on(first, "blockdev --getsize64 /dev/drbd0")
    lines = drill.pair.on(first, f"cat /{STATE}/journal.jsonl").splitlines()
    return skipping_s([json.loads(line) for line in lines]) / (int(size) / (1 << 30))


def skipping_s(events: list[dict[str, str]]) -> int:
    """Seconds from the last that the step saw of blank data until it was done the first time.

    `events` are journal.jsonl's; it knows whole seconds, so 1 is the least.
    """
    said = [event for event in events if event["step"] == "replication"]
    blank = ""
    for event in said:
        if "Inconsistent/" in event["detail"]:
            blank = event["at"]
        elif blank and event["event"] == "done":
            return max(seconds(event["at"]) - seconds(blank), 1)
    raise Failed("its data was never seen blank")


def seconds(at: str) -> int:
    """Of a record of the agent's, since 1970."""
    return calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ"))


def own_locks(drill: Drilling, *, owned: bool) -> None:
    """dlm_controld of both nodes anew with that plock_ownership, and the pair whole again."""
    change = f"sed -i 's/^plock_ownership=.*/plock_ownership={int(owned)}/' /etc/dlm/dlm.conf"
    stop, start = "systemctl stop pacemaker corosync", "systemctl start pacemaker"
    with ThreadPoolExecutor() as threads:
        for command in (f"{change}; {stop}", start):
            told = partial(drill.pair.on, command=command, timeout=300)
            list(threads.map(told, drill.pair.servers))
    # Not whether all is as planned, for dlm.conf is not meanwhile.
    looks = (audits.mounted, audits.replicated, audits.clustered)
    drill.wait("mounted anew", lambda: not any(look(drill.pair) for look in looks), SETTLE_S)
