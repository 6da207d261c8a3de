"""A change of plan on a living node: begun, ended, or put back.

node.json is the truth. Until it names the new plan, the node is put back to the old one by the very
steps that would change it; from then on there is nothing to put back. That a change was begun is on
the disk (UNDONE), and whoever finds it while no change is at work puts back: the change itself when
it failed, else ksnode.service, which outlives it, and looks again after a reboot.

Why not NetworkManager's own checkpoint (D-Bus, CheckpointCreate): it knows of profiles alone, is
lost with NetworkManager and with the power, and writes profiles back in other words than ours,
which would be drift from then on. Why not a timer of systemd's: it is lost with the power as well.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

from firstboot import attributes, change, drbd, facts, files, pacemaker, planfile
from firstboot.commands import TIMED_OUT, TIMEOUT_S, CommandError, Result, Run
from firstboot.engine import Refused, Report, Step, converge
from firstboot.journal import STATE
from firstboot.node import Identity, Pair, plan_digest
from firstboot.render import cib
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.cluster import ClusterUp
from firstboot.steps.firewall import Firewall
from firstboot.steps.host import Host
from firstboot.steps.logins import Logins
from firstboot.steps.memory import Memory
from firstboot.steps.resync import Resync
from firstboot.steps.uplink import Uplink

UNDONE = STATE / "apply.plan"  # the plan that a change was begun to
NODE = Path("etc/ksbuild/node.json")
WITHIN_S = 60  # from the network's change until peer and gateway have to be reached
MEANWHILE_S = 3.0  # so that of two who begin at once neither overlooks the other


def objection(
    identity: Identity,
    state: Optional[pacemaker.Cluster],
    data: Optional[drbd.Status],
) -> Optional[Refused]:
    """Why the node may not be changed now, None when it may: the pair has to be whole. Pure."""
    if state is None:
        return Refused("pacemaker does not answer on this node", "systemctl status ksbuild-gate")
    names = [node.name for node in identity.pair.nodes]
    lost = [
        *(f"{name} is not online" for name in names if name not in state.online),
        *(f"{name} waits to be fenced" for name in names if name in state.unclean),
        *(f"{name} has nothing mounted" for name in names if not state.runs(cib.MOUNT, name)),
    ]
    if not state.quorate:
        lost.append("the cluster has no quorum")
    if data is None or not data.in_sync:
        lost.append(f"DRBD is {data or 'not up'}")
    return Refused("; ".join(lost), "ksnode why; crm_mon -1rf") if lost else None


def begin(root: Path, text: str) -> None:
    """Note on the disk to which plan, before anything is changed."""
    files.replace(root / UNDONE, text.encode(), 0o600)


def claim(
    identity: Identity,
    root: Path,
    wanted: Pair,
    run: Run,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """One node at a time: say so in the cluster, then look whether the other does too.

    Raises Refused where it does; the change has then ended.
    """
    attributes.mark_applying(run, identity.node, plan_digest(wanted))
    sleep(MEANWHILE_S)
    if attributes.applying(run, identity.peer.name):
        end(identity, root, run)
        peer = identity.peer.name
        raise Refused(f"{peer} is in the middle of an apply", f"wait until {peer} has ended it")


def end(identity: Identity, root: Path, run: Run) -> None:
    """Nothing is to be put back any more."""
    attributes.unmark_applying(run, identity.node)
    (root / UNDONE).unlink(missing_ok=True)
    files.sync_folder(root / STATE)


def is_undone(root: Path) -> bool:
    """Whether a change was begun and neither ended nor put back."""
    return (root / UNDONE).exists()


def put_back(identity: Identity, root: Path, run: Run, report: Report) -> None:
    """Bring all that an unfinished change touched to what node.json says; then it has ended.

    `identity` is node.json's. Raises what converge() raises; the change then stays unfinished.
    """
    other = planfile.parse((root / UNDONE).read_text(encoding="utf-8"), identity).pair
    names = change.steps(change.differences(other, identity.pair))
    converge(steps(identity, root, run, report, names, other), report, has=identity.pair.has)
    end(identity, root, run)


def steps(
    identity: Identity, root: Path, run: Run, report: Report, names: Sequence[str], other: Pair
) -> "list[Step]":
    """Steps by name that bring a node from another plan of its pair to that of `identity`."""
    context = Context(identity, root, run, report, Meeting(identity, root, facts.boot_id(root)))
    made: dict[str, Callable[[], Step]] = {
        change.UPLINK: lambda: Uplink(context),
        change.FIREWALL: lambda: Firewall(context),
        change.HOST: lambda: Host(context),
        change.LOGINS: lambda: Logins(context, other.accounts),
        change.RESYNC: lambda: Resync(context),
        change.CLUSTER: lambda: ClusterUp(context),
        change.MEMORY: lambda: Memory(context),
    }
    return [made[name]() for name in names]


def until(deadline: float, run: Run, now: Callable[[], float]) -> Run:
    """A door for programs that is shut at `deadline`; what runs then is ended. CommandError."""

    def bounded(
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: "tuple[int, ...]" = (0,),
        timeout_s: float = TIMEOUT_S,
    ) -> Result:
        left_s = deadline - now()
        if left_s <= 0:
            raise CommandError(Result(tuple(argv), TIMED_OUT, "", "the time for the change is up"))
        return run(argv, stdin=stdin, ok=ok, timeout_s=min(timeout_s, left_s))

    return bounded
