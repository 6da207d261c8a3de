"""ksnode health: how this node is as a place for guests; --tell says so to pacemaker.

ksbuild-health.timer runs it while the cluster runs. The attributes go with the node's cluster, so
that a node that restarts begins without any. Whoever comes by each minute also tells what alerts
held back.
"""

import argparse
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from firstboot import alerting, drbd, facts, hardware, health, latches, raid, sensors
from firstboot.commands import CommandError, Run, run
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.health import Finding
from firstboot.node import Identity
from firstboot.verification import state

NO_CLUSTER = 102  # attrd_updater, as crm_mon
Source = Callable[[Identity, Path, Run], Optional[Finding]]


def look(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """A line for each part; with --tell a line for each that changed its colour."""
    if not latches.is_set(root, latches.COMPLETE):
        print("ksnode: this node is not complete yet\nnext: ksnode status", file=sys.stderr)
        return REFUSED
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    found = findings(identity, root, run)
    if not arguments.tell:
        for finding in found:
            print(f"{finding.part}: {finding.colour or 'unknown'}: {finding.text}")
        return OK
    try:
        for finding in found:
            if tell(identity, finding, run):
                print(f"ksnode: {finding.part} is {finding.colour}: {finding.text}", flush=True)
        alerting.tell_overdue(root)
    except CommandError as error:
        print(f"ksnode: {error}", file=sys.stderr)
        return FAILED
    return OK


def findings(identity: Identity, root: Path, run: Run) -> "Iterator[Finding]":
    """Every part this machine has, as it is looked at; one that can't be has no colour."""
    for part, source in SOURCES.items():
        try:
            finding = source(identity, root, run)
        except (CommandError, OSError, ValueError) as error:
            finding = Finding(part, "", f"cannot be looked at: {error}")
        if finding is not None:
            yield finding


def tell(identity: Identity, finding: Finding, run: Run) -> bool:
    """Set the node's attribute; whether that changed it. Without a cluster nobody is told."""
    if not finding.colour:
        return False
    # 78: no such attribute yet (CRM_EX_CONFIG).
    query = ["attrd_updater", "--query", "--name", finding.attribute]
    told = run(query, ok=(0, 78, NO_CLUSTER))
    if told.returncode == NO_CLUSTER:
        return False
    known = re.search(rf'host="{re.escape(identity.node)}" value="(\w*)"', told.stdout)
    if known and known[1] == finding.colour:
        return False
    run(["attrd_updater", "--name", finding.attribute, "--update", finding.colour])
    return True


def _raid(_: Identity, root: Path, run: Run) -> Optional[Finding]:
    tool = next((t for t in raid.TOOLS if (root / "usr/sbin" / t).exists()), None)
    if tool is None:
        return None
    return health.arrays(raid.parse(run([tool, *raid.SHOW], ok=(0, 1)).stdout))


def _replication(identity: Identity, root: Path, run: Run) -> Finding:
    return health.replication(drbd.status(run, root, drbd9=identity.pair.has("drbd9")))


def _uplink(identity: Identity, root: Path, run: Run) -> Finding:
    found = {port.mac: port.name for port in facts.ports(run)}
    mine = identity.me.uplink.ports  # one that the machine has lost has no link
    return health.uplink(
        {found.get(m, m): m in found and facts.carrier(root, found[m]) for m in mine}
    )


def _crossover(_: Identity, root: Path, __: Run) -> Finding:
    return health.crossover(state.ports(root))


def _disks(identity: Identity, root: Path, run: Run) -> Optional[Finding]:
    found = hardware.disks(root, run)
    return None if found is None else health.disks(found, identity.pair.monitoring)


def _sensors(identity: Identity, root: Path, run: Run) -> Optional[Finding]:
    if (found := hardware.told(root, run)) is None:
        return None
    return health.sensors(sensors.heard(found, identity.pair.monitoring))


# What may take its time, as a disk that dies, comes last: the others are told before.
SOURCES: "dict[str, Source]" = {
    "raid": _raid,
    "drbd": _replication,
    "uplink": _uplink,
    "crossover": _crossover,
    "sensors": _sensors,
    "disks": _disks,
}
