"""ksnode poweroff: switch this node off in an orderly way, alone or with the other one.

The node empties itself as a standby that ends with its cluster, unmounts, stops the cluster and
only then the system. As a pair each node is told by a human, and waits for the other to be: both
are then emptied at once, so that no guest is moved to a node that stops as well.
"""

import argparse
import time
from pathlib import Path
from typing import Callable, Optional

from firstboot import attributes, drbd, latches, leaving, mount, pacemaker
from firstboot.commands import Run, run
from firstboot.engine import Refused
from firstboot.leaving import Plan
from firstboot.node import Identity
from firstboot.pacemaker import Cluster
from firstboot.verbs.converging import alone
from firstboot.verbs.waiting import NotYet, outcome, say, until

MOST_S = 1800.0  # for a part, as pacemaker.service's own TimeoutStopSec
Sleep = Callable[[float], None]


def poweroff(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Say what it does, and do it; REFUSED leaves everything as it was."""
    wish = Wish(arguments)

    def do() -> None:
        plan(identity, root, wish, run)
        if not wish.dry_run:
            with alone(root):
                leave(identity, root, wish, run)

    return outcome(do)


class Wish:
    """What was typed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.pair: bool = arguments.pair
        self.reboot: bool = arguments.reboot
        self.force: bool = arguments.force
        self.dry_run: bool = arguments.dry_run

    @property
    def command(self) -> str:
        """The same, to be typed on the other node."""
        options = (" --pair" if self.pair else "") + (" --reboot" if self.reboot else "")
        return f"ksnode poweroff{options}"


def plan(identity: Identity, root: Path, wish: Wish, run: Run) -> Plan:
    """What leaving would do, told. Raises Refused when it is not to be done. Reads only."""
    me, peer = identity.node, identity.peer.name
    if not latches.is_set(root, latches.COMPLETE):
        raise Refused(f"{me} is not complete: its agent is at work", "systemctl stop ksnode")
    state = pacemaker.status(run)
    if state is not None and (why := leaving.frozen(state)):
        raise Refused(
            f"pacemaker can stop nothing here: {'; '.join(why)}",
            f"crm_mon -1rf; if you have seen that {peer} is off: stonith_admin --confirm {peer}",
        )
    if wish.pair:
        if state is None or not {me, peer} <= state.online:
            away = [me] if state is None else sorted({me, peer} - state.online)
            raise Refused(f"{' and '.join(away)} is not in the cluster", "ksnode poweroff")
        found = leaving.together(identity, state)
    else:
        replication = drbd.status(run, root, drbd9=identity.pair.has("drbd9"))
        found = leaving.alone(identity, state, replication)
    if found.losses and not wish.force:
        raise Refused("; ".join(found.losses), f"wait for it, or: {wish.command} --force")
    for line in (*found.losses, *found.steps):
        say(line)
    return found


def leave(
    identity: Identity, root: Path, wish: Wish, run: Run, *, sleep: Sleep = time.sleep
) -> None:
    """Empty this node, or both; stop the cluster; stop the system. Raises NotYet, CommandError."""
    nodes = [identity.node]
    state = pacemaker.status(run)
    if state is not None:
        if wish.pair:
            nodes = [node.name for node in identity.pair.nodes]
            meet(identity, wish, run, sleep)
            if identity.first:
                attributes.stand_by_together(run, nodes)
        else:
            attributes.stand_by(run, identity.node)
        empty(run, nodes, sleep)
    stop_cluster(identity, root, run)
    say("restarting" if wish.reboot else "switching off")
    run(["systemctl", "reboot" if wish.reboot else "poweroff"])


def empty(run: Run, nodes: "list[str]", sleep: Sleep) -> None:
    """Wait until pacemaker has emptied them. Raises NotYet, with how to take it back."""
    back = "; ".join(f"crm_standby --node {n} --lifetime reboot --delete" for n in nodes)
    way_out = f"crm_mon -1rf; to take it back: {back}"
    try:
        until(lambda: leaving.left(pacemaker.status(run), nodes), MOST_S, sleep, way_out)
    except KeyboardInterrupt:
        raise NotYet(f"stopped by hand\nnext: {way_out}") from None


def stop_cluster(identity: Identity, root: Path, run: Run) -> None:
    """Stop both daemons, and be sure that the file system went with them."""
    say("stopping the cluster on this node")
    pacemaker.stop_units(run, MOST_S)
    place = identity.pair.gfs2.mount
    if mount.options(mount.table(root), place) is not None:
        raise NotYet(f"{place} is still mounted\nnext: fuser -vm {place}; umount {place}")


def meet(identity: Identity, wish: Wish, run: Run, sleep: Sleep) -> None:
    """Wait until the same was typed on the other node; what this one asked is taken back else."""
    attributes.ask_to_leave(run, identity.node)
    met = False
    try:
        until(lambda: _unmet(identity, wish, pacemaker.status(run)), MOST_S, sleep)
        met = True
    finally:
        if not met:
            attributes.ask_no_more(run, identity.node)


def _unmet(identity: Identity, wish: Wish, state: Optional[Cluster]) -> "list[str]":
    """The other may be a step ahead, or gone: by then it has put this node into standby."""
    peer = identity.peer.name
    if state is None:
        return ["the cluster does not answer"]
    if peer in state.asking or identity.node in state.standby:
        return []
    if peer not in state.online:
        raise NotYet(f"{peer} is not online any more\nnext: ksnode poweroff")
    return [f"type on {peer}: {wish.command}"]
