"""Updating one node of a living pair: what it takes, and the record by which it is gone on with.

The record is the one thing that the world does not tell: that packages are being installed, or
that the restart which is to follow was asked for, and in which boot.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from firstboot import drbd, facts, files, leaving, pacemaker
from firstboot.drbd import UP_TO_DATE, Status
from firstboot.engine import Refused
from firstboot.journal import STATE
from firstboot.node import Identity
from firstboot.pacemaker import Cluster
from firstboot.render import cib
from firstboot.steps import Context
from firstboot.steps.preflight import MODULES

RECORD = STATE / "update.json"
PACKAGES, RESTART = "packages", "restart"


@dataclass(frozen=True)
class Record:
    """How far an update is, and the boot in which it got there."""

    phase: str
    boot: str


def load(root: Path) -> Optional[Record]:
    """The update under way; None when there is none. Raises Refused when it can't be read."""
    try:
        said: Any = json.loads((root / RECORD).read_text(encoding="utf-8"))
        if said["phase"] in (PACKAGES, RESTART):
            return Record(said["phase"], str(said["boot"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise Refused(f"/{RECORD} makes no sense", f"cat /{RECORD}; rm it to begin anew")


def save(root: Path, record: Record) -> None:
    """Keep it, durable before this returns."""
    files.replace(root / RECORD, (json.dumps(asdict(record)) + "\n").encode(), 0o644)


def forget(root: Path) -> None:
    """The update is done, or has not begun."""
    (root / RECORD).unlink(missing_ok=True)
    files.sync_folder(root / STATE)


def restarted(record: Record, boot: str) -> bool:
    """Whether the restart at its end has happened."""
    return record.phase == RESTART and record.boot != boot


def unwhole(
    identity: Identity, state: Optional[Cluster], replication: Optional[Status]
) -> "list[str]":
    """What keeps the pair from being whole, so that one node could be taken out of it. Pure."""
    found = leaving.unfit(state, identity.pair)
    if state is not None:
        found += [f"{node} is in standby" for node in sorted(state.standby)]
        found += [f"{node} is in bad health" for node in sorted(state.unhealthy)]
        found += state.failures
    if replication is None or not replication.in_sync:
        found.append(f"DRBD is {replication or 'down'}")
    return found


def unsupported(
    identity: Identity, state: Optional[Cluster], replication: Optional[Status]
) -> "list[str]":
    """Why the other node could not carry on alone, whatever is with this one. Pure."""
    peer = identity.peer.name
    if state is None:
        return [f"the cluster does not run on {identity.node}"]
    found = leaving.frozen(state)
    if peer not in state.online or peer in state.standby or not state.runs(cib.MOUNT, peer):
        found.append(f"{peer} does not have {identity.pair.gfs2.mount} mounted")
    if replication is None or replication.peer_disk != UP_TO_DATE:
        found.append(f"DRBD is {replication or 'down'}")
    return found


def unmatched(kernel: str, versions: Mapping[str, Optional[str]], *, drbd9: bool) -> "list[str]":
    """Modules that the kernel to be booted lacks, with the package that brings each. Pure.

    `versions` as facts.module_version() has them, by module.
    """
    found = [
        f"{module} (dnf install {MODULES[module].replace('$(uname -r)', kernel)})"
        for module, version in versions.items()
        if version is None
    ]
    drbd = versions.get("drbd")
    if drbd9 and drbd is not None and not drbd.startswith("9."):
        found.append(f"drbd 9, and has {drbd} (dnf install {MODULES['drbd']})")
    return found


def after_restart(context: Context) -> "Optional[tuple[str, str]]":
    """What the agent tells of an update: event and text; None when there is none.

    One whose node has taken its part again is over, and forgotten here. Raises Refused, OSError or
    CommandError.
    """
    identity, root, run = context.identity, context.root, context.run
    if (record := load(root)) is None:
        return None
    boot = facts.boot_id(root)
    if record.boot == boot:
        return "waiting", "packages are being renewed"
    if not restarted(record, boot):
        return "failed", "it was cut off while packages were renewed; next: ksnode update"
    replication = drbd.status(run, root, drbd9=identity.pair.has("drbd9"))
    if missing := unwhole(identity, pacemaker.status(run), replication):
        return "waiting", "; ".join(missing)
    forget(root)
    return "ok", over(identity)


def over(identity: Identity) -> str:
    """What is told at the end."""
    me, peer = identity.node, identity.peer.name
    return f"{me} is updated; next, unless that is done: ksnode update on {peer}"
