"""ksnode rehearse PEER: let the agent fire once more, or prove on a complete pair that it can.

On a complete pair it is the cluster's own way that is proven, devices and levels included: the peer
gives up its resources, is cut off, comes back and takes its part again.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from firstboot import files, latches, pacemaker
from firstboot.commands import CommandError, Run, run
from firstboot.engine import Refused
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.fencing import record
from firstboot.fencing.rehearsal import IDLE, Record
from firstboot.journal import STATE
from firstboot.node import Identity
from firstboot.render import cib

POLL_S = 3.0
MOST_S = 300.0  # for each part, multiplied by the pair's timeout_factor
FENCED_S = 120  # likewise
RESULT = STATE / "rehearsed.json"


class NotYet(Exception):
    """A part took too long; what is missing, and the next command."""


def rehearse(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Say what comes of it; REFUSED leaves everything as it was."""
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    peer = identity.peer.name
    try:
        if arguments.peer != peer:
            evidence = f"the other node of this pair is {peer}, not {arguments.peer}"
            raise Refused(evidence, f"this cuts its power: ksnode rehearse {peer}")
        if latches.is_set(root, latches.COMPLETE):
            prove(identity, root, run)
        else:
            let_fire_again(root)
            print("ksnode: the agent may fire again, and does by itself; next: ksnode status")
    except Refused as refusal:
        print(f"ksnode: {refusal.evidence}\nnext: {refusal.way_out}", file=sys.stderr)
        return REFUSED
    except (NotYet, CommandError) as error:
        print(f"ksnode: {error}", file=sys.stderr)
        return FAILED
    return OK


def let_fire_again(root: Path) -> None:
    """Forget how often this node fired. Raises Refused while a shot is on its way.

    One that was stopped is not: it stops only while the peer has its power.
    """
    try:
        done = record.load(root)
    except Refused:
        done = Record()  # an unreadable record says so itself, and names this command
    if done.phase != IDLE and not done.stopped:
        raise Refused(f"a rehearsal is under way ({done.phase})", "ksnode status")
    record.forget(root)


def prove(
    identity: Identity, root: Path, run: Run, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Empty the peer, fence it, see it come back. Raises Refused, NotYet or CommandError."""
    peer, factor = identity.peer.name, identity.pair.cluster.timeout_factor
    if missing := _unfit(identity, run):
        raise Refused(f"the pair is not whole: {'; '.join(missing)}", "ksnode why; crm_mon -1rf")
    pacemaker.stand_by(run, peer)
    _until(lambda: _left_on(identity, run), factor, sleep)
    begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    pacemaker.fence(run, peer, FENCED_S * factor)
    print(f"ksnode: {peer}'s power was cut; waiting for it to come back", flush=True)
    _until(lambda: _unfit(identity, run), factor, sleep)
    told = json.dumps({"at": begin, "peer": peer, "by": "the cluster"}, sort_keys=True) + "\n"
    files.replace(root / RESULT, told.encode(), 0o644)
    print(f"ksnode: {identity.node} can cut {peer}'s power, and {peer} comes back by itself")


def _until(look: Callable[[], Sequence[str]], factor: int, sleep: Callable[[float], None]) -> None:
    left_s = MOST_S * factor
    while missing := look():
        if left_s <= 0:
            raise NotYet(f"{'; '.join(missing)}\nnext: crm_mon -1rf")
        print(f"ksnode: waiting: {'; '.join(missing)}", flush=True)
        sleep(POLL_S)
        left_s -= POLL_S


def _unfit(identity: Identity, run: Run) -> list[str]:
    """What keeps the pair from being whole: both online, and mounted on both."""
    state = pacemaker.status(run)
    if state is None or not state.quorate:
        return ["the cluster does not answer, or has no quorum"]
    found = [f"{name} is not clean" for name in sorted(state.unclean)]
    for node in identity.pair.nodes:
        if node.name not in state.online:
            found.append(f"{node.name} is not online")
        elif not state.runs(cib.MOUNT, node.name):
            found.append(f"{cib.MOUNT} is not started on {node.name}")
    return found


def _left_on(identity: Identity, run: Run) -> list[str]:
    """What the peer still runs, fence devices aside."""
    state, peer = pacemaker.status(run), identity.peer.name
    if state is None:
        return ["the cluster does not answer"]
    left = sorted({r for r, node, _ in state.active if node == peer and not _is_device(r)})
    return [f"{resource} is still on {peer}" for resource in left]


def _is_device(resource: str) -> bool:
    return resource.startswith("ks-fence-")
