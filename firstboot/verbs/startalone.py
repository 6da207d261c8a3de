"""ksnode start-alone PEER: go on without the other node, of which a human says that it is off."""

import argparse
import time
from pathlib import Path
from typing import Callable

from firstboot import drbd, latches, mount, pacemaker, promotion
from firstboot.commands import Run, run
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.render import cib
from firstboot.verbs.converging import alone
from firstboot.verbs.gate import answering
from firstboot.verbs.waiting import outcome, say, until

MOST_S = 180.0  # for each part, multiplied by the pair's timeout_factor


def start_alone(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Start this node as a cluster of one; pacemaker fences the other before it touches data."""

    def do() -> None:
        with alone(root):
            allow(identity, root, arguments.peer, run)
            go_alone(identity, root, run, accept_loss=arguments.accept_loss)
        say(f"{identity.pair.gfs2.mount} is mounted on {identity.node} alone")

    return outcome(do)


def allow(identity: Identity, root: Path, typed: str, run: Run) -> None:
    """Raises Refused unless the pair is complete, the right name was typed, and nobody answers."""
    peer = identity.peer.name
    if typed != peer:
        raise Refused(
            f"the other node of this pair is {peer}, not {typed}",
            f"make sure that {peer} is off, then: ksnode start-alone {peer}",
        )
    if not latches.is_set(root, latches.COMPLETE):
        raise Refused("this pair is not complete; it has no data to go on with", "ksnode why")
    if links := answering(identity, run):
        raise Refused(f"{peer} answers on {' and '.join(links)}: it is not off", "ksnode status")


def go_alone(
    identity: Identity,
    root: Path,
    run: Run,
    *,
    accept_loss: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Raises NotYet, Refused or CommandError. What is done already is not done again.

    With `accept_loss` data that may be older than the peer's will do: both lost their power, and
    neither knows which was the last to write.
    """
    most_s = MOST_S * identity.pair.cluster.timeout_factor
    peer = identity.peer.name
    again = f"ksnode start-alone {peer}"
    pacemaker.start_units(run)
    until(lambda: _answers(run), most_s, sleep, "journalctl --boot --unit pacemaker")
    pacemaker.wait_for_nobody(run)
    seen_off = f"if you have seen that {peer} is off: stonith_admin --confirm {peer}; then: {again}"
    until(lambda: _fenced(identity, run), most_s, sleep, seen_off)
    last = (
        f"crm_mon -1rf; if {peer} does not come back, and what it wrote after {identity.node}"
        f" stopped, if it did, may be lost: {again} --accept-loss"
    )
    until(lambda: _promoted(identity, root, run, accept_loss), most_s, sleep, last)
    place = identity.pair.gfs2.mount
    until(lambda: mount.faults(mount.table(root), place), most_s, sleep)


def _answers(run: Run) -> list[str]:
    return [] if pacemaker.status(run) else ["pacemaker does not answer"]


def _fenced(identity: Identity, run: Run) -> list[str]:
    state, peer = pacemaker.status(run), identity.peer.name
    if state is None or not state.quorate or identity.node not in state.online:
        return [f"{identity.node} is not online"]
    return [f"{peer} is not fenced", *state.failures] if peer in state.unclean else []


def _promoted(identity: Identity, root: Path, run: Run, accept_loss: bool) -> list[str]:
    """Whether DRBD is Primary here, by pacemaker; what pacemaker may not offer is refused."""
    state = pacemaker.status(run)
    if state is not None and state.runs(cib.DRBD, identity.node, "Promoted"):
        return []
    if state is None or not state.runs(cib.DRBD, identity.node, "Unpromoted"):
        return [f"{cib.DRBD} is not started", *(state.failures if state else ())]
    status = drbd.status(run, root, drbd9=identity.pair.has("drbd9"))
    disk = "not there" if status is None else status.disk
    bans = promotion.barred(state, identity.node)
    whole = disk == drbd.UP_TO_DATE or (disk == drbd.CONSISTENT and not promotion.known_older(bans))
    if not whole:
        raise Refused(
            f"this node's data is {disk}: {identity.peer.name} has newer, which would be lost",
            f"start {identity.peer.name}, or bring its disk here",
        )
    if accept_loss and (bans or disk == drbd.CONSISTENT):
        promotion.call_newest(run, identity)
        if disk == drbd.CONSISTENT:
            drbd.promote(run)  # now its handler finds that constraint, and calls the data newest
            drbd.demote(run)  # ocf:linbit:drbd offers it at its next look (adjust_master_score)
    return [f"{cib.DRBD} is not promoted; its disk is {disk}", *state.failures]
