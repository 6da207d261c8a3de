"""ksnode update: this node's packages renewed while the other one carries the guests.

What can be seen before is seen before: the pair is whole, the packages are downloaded. Then the
node leaves as for a poweroff, its packages are renewed, and it restarts only into a kernel that
has every module it needs; else it takes its part again as it is. Typed again it goes on.
"""

import argparse
import time
from pathlib import Path
from typing import Callable, Optional

from firstboot import attributes, drbd, facts, latches, pacemaker, updating
from firstboot.commands import CommandError, Run, run
from firstboot.drbd import Status
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.pacemaker import Cluster
from firstboot.steps.preflight import MODULES
from firstboot.updating import PACKAGES, RESTART, Record
from firstboot.verbs.converging import alone
from firstboot.verbs.poweroff import MOST_S, empty, stop_cluster
from firstboot.verbs.waiting import NotYet, outcome, say, until

PACKAGES_S = 7200.0  # a slow mirror, a slow disk
NEWER = 100  # dnf check-update: there are updates (dnf(8))
DNF = ("dnf", "--assumeyes", "--quiet")
Sleep = Callable[[float], None]


def update(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Say what it does, and do the next part of it; REFUSED leaves everything as it was."""

    def do() -> None:
        with alone(root):
            go_on(identity, root, run, dry_run=arguments.dry_run)

    return outcome(do)


def go_on(
    identity: Identity, root: Path, run: Run, *, dry_run: bool = False, sleep: Sleep = time.sleep
) -> None:
    """From wherever it stands. Raises Refused, NotYet or CommandError."""
    boot = facts.boot_id(root)
    if not latches.is_set(root, latches.COMPLETE):
        raise Refused(f"{identity.node} is not complete: its agent is at work", "ksnode status")
    record = updating.load(root)
    if record is not None and updating.restarted(record, boot):
        until(lambda: _unwhole(identity, root, run), MOST_S, sleep, "ksnode why; ksnode update")
        updating.forget(root)
        say(updating.over(identity))
        return
    if not _may_begin(identity, root, record, run):
        say("nothing is to be updated")
        return
    if not dry_run:
        renew(identity, root, run, boot, sleep)


def renew(identity: Identity, root: Path, run: Run, boot: str, sleep: Sleep) -> None:
    """Leave, renew, match, restart."""
    run([*DNF, "--downloadonly", "upgrade"], timeout_s=PACKAGES_S)
    say(f"the packages are here; {identity.node} gives its guests to {identity.peer.name}")
    updating.save(root, Record(PACKAGES, boot))
    attributes.stand_by(run, identity.node)
    empty(run, [identity.node], sleep)
    try:
        stop_cluster(identity, root, run)
        say("renewing packages")
        run([*DNF, "upgrade"], timeout_s=PACKAGES_S)
        match(identity, root, run)
    except (CommandError, Refused, NotYet, KeyboardInterrupt):
        say("it takes its part again, with the kernel that runs")
        pacemaker.start_units(run)
        raise
    updating.save(root, Record(RESTART, boot))
    say(f"restarting; it comes back by itself, and `ksnode status` on {identity.node} says when")
    run(["systemctl", "reboot"])


def match(identity: Identity, root: Path, run: Run) -> None:
    """Raises Refused unless the kernel that is booted next has all modules, DRBD's above all."""
    kernel = _next_kernel(run)
    versions = {module: _version(run, kernel, module) for module in MODULES}
    if missing := updating.unmatched(kernel, versions, drbd9=identity.pair.has("drbd9")):
        running = _running_kernel(root)
        raise Refused(
            f"{identity.node} is not restarted: kernel {kernel} lacks {'; '.join(missing)}",
            f"install that, or keep {running} (grubby --set-default /boot/vmlinuz-{running}),"
            " then: ksnode update",
        )


def _may_begin(identity: Identity, root: Path, record: Optional[Record], run: Run) -> bool:
    """Whether there is anything to renew. Raises Refused while the pair can't spare this node."""
    state, replication = _seen(identity, root, run)
    if record is None:
        missing = updating.unwhole(identity, state, replication)
    else:  # it is out, or not quite back: what counts is the other
        missing = updating.unsupported(identity, state, replication)
    if missing:
        raise Refused(f"the pair can't spare {identity.node}: {'; '.join(missing)}", "ksnode why")
    newer = run(["dnf", "--quiet", "check-update"], ok=(0, NEWER), timeout_s=PACKAGES_S)
    names = [line.split()[0] for line in newer.stdout.splitlines() if len(line.split()) == 3]
    if newer.returncode == NEWER:
        say(f"to be renewed: {', '.join(names)}")
        return True
    waiting = _next_kernel(run) != _running_kernel(root)
    if waiting:
        say("no package is newer, and the kernel that is booted next does not run yet")
    return waiting or record is not None


def _unwhole(identity: Identity, root: Path, run: Run) -> "list[str]":
    return updating.unwhole(identity, *_seen(identity, root, run))


def _seen(identity: Identity, root: Path, run: Run) -> "tuple[Optional[Cluster], Optional[Status]]":
    return pacemaker.status(run), drbd.status(run, root, drbd9=identity.pair.has("drbd9"))


def _next_kernel(run: Run) -> str:
    """The version of the kernel that the boot loader starts by default (grubby(8))."""
    return run(["grubby", "--default-kernel"]).stdout.strip().partition("vmlinuz-")[2]


def _running_kernel(root: Path) -> str:
    return (root / "proc/sys/kernel/osrelease").read_text(encoding="ascii").strip()


def _version(run: Run, kernel: str, module: str) -> Optional[str]:
    found = run(["modinfo", "-k", kernel, "-F", "version", module], ok=(0, 1))
    return None if found.returncode else found.stdout.strip()
