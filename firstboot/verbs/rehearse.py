"""ksnode rehearse PEER: let the agent fire once more, or prove on a complete pair that it can.

On a complete pair it is the cluster's own way that is proven, devices and levels included: the peer
gives up its resources, is cut off, comes back and takes its part again. A peer that was installed
anew, and waits for this proof (fencing/inherited), has no part yet: it is cut off as it is.
"""

import argparse
import contextlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, Callable

from firstboot import attributes, files, latches, leaving, pacemaker
from firstboot.commands import CommandError, Run, run
from firstboot.engine import Refused
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.fencing import record
from firstboot.fencing.afterwards import powers as powers_of_peer
from firstboot.fencing.aim import check_target
from firstboot.fencing.inherited import REHEARSED, TOPIC
from firstboot.fencing.rehearsal import IDLE, Record
from firstboot.node import Identity
from firstboot.rendezvous.session import NotMet
from firstboot.steps import Context
from firstboot.verbs.converging import a_context
from firstboot.verbs.waiting import NotYet, until

MOST_S = 300.0  # for each part, multiplied by the pair's timeout_factor
FENCED_S = 120  # likewise
RESULT = REHEARSED


def rehearse(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Say what comes of it; REFUSED leaves everything as it was."""
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    peer = identity.peer.name
    try:
        if arguments.peer != peer:
            evidence = f"the other node of this pair is {peer}, not {arguments.peer}"
            raise Refused(evidence, f"this cuts its power: ksnode rehearse {peer}")
        if latches.is_set(root, latches.COMPLETE):
            context, _ = a_context(identity, root)
            if boot := waiting_boot(context):
                prove_newcomer(context, boot)
            else:
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
    most_s = MOST_S * factor
    if missing := leaving.unfit(pacemaker.status(run), identity.pair):
        raise Refused(f"the pair is not whole: {'; '.join(missing)}", "ksnode why; crm_mon -1rf")
    attributes.stand_by(run, peer)
    until(lambda: leaving.left(pacemaker.status(run), [peer]), most_s, sleep)
    begin = _now()
    pacemaker.fence(run, peer, FENCED_S * factor)
    print(f"ksnode: {peer}'s power was cut; waiting for it to come back", flush=True)
    until(lambda: leaving.unfit(pacemaker.status(run), identity.pair), most_s, sleep)
    _keep(root, at=begin, peer=peer, by="the cluster")
    print(f"ksnode: {identity.node} can cut {peer}'s power, and {peer} comes back by itself")


def waiting_boot(context: Context) -> str:
    """The boot id of a peer that was installed anew and waits in fencing; "" when there is none."""
    with contextlib.suppress(NotMet, OSError):
        boot = context.meeting.ask().boot_id
        told = context.meeting.heard(TOPIC, private=True)
        return boot if isinstance(told, dict) and told.get("inherits") is True else ""
    return ""


def prove_newcomer(
    context: Context, boot: str, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Cut it off in that boot, see it come back in another. Raises as prove() does.

    The device is shown to be its own before, as in the first rehearsal.
    """
    identity, run, peer = context.identity, context.run, context.identity.peer.name
    state = pacemaker.status(run)
    if state is None or not state.quorate or peer in state.online:
        raise Refused(f"the cluster does not run here without {peer}", "crm_mon -1rf")
    powers, told = powers_of_peer(context), context.meeting.heard(TOPIC, private=True)
    guids = powers[0].guids()
    check_target(identity, context.root, told, powers, guids)
    begin, factor = _now(), identity.pair.cluster.timeout_factor
    pacemaker.fence(run, peer, FENCED_S * factor)
    print(f"ksnode: {peer}'s power was cut; waiting for it to come back", flush=True)
    until(lambda: _not_back(context, boot), MOST_S * factor, sleep)
    _keep(context.root, at=begin, peer=peer, by="the cluster", guids=sorted(guids))
    print(f"ksnode: {identity.node} can cut {peer}'s power; {peer} goes on by itself")


def _not_back(context: Context, boot: str) -> list[str]:
    with contextlib.suppress(NotMet):
        if context.meeting.ask().boot_id != boot:
            return []
    return [f"{context.identity.peer.name}'s agent does not answer from a new boot"]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _keep(root: Path, **result: Any) -> None:
    files.replace(root / RESULT, (json.dumps(result, sort_keys=True) + "\n").encode(), 0o644)
