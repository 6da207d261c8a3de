"""ksnode agent and ksnode run: bring this node to its plan."""

import argparse
import contextlib
import fcntl
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from firstboot import changing, facts, latches, updating
from firstboot.commands import CommandError, run
from firstboot.engine import Refused, StepFailed, converge
from firstboot.exits import BUSY, DIFFERENT, FAILED, OK, REFUSED
from firstboot.fencing.inherited import Voucher
from firstboot.fencing.renewal import Taker
from firstboot.journal import Journal
from firstboot.node import Identity, from_json, plan_digest
from firstboot.rendezvous.admission import Admission
from firstboot.rendezvous.session import Meeting
from firstboot.sequence import steps
from firstboot.splitbrain.look import Teller
from firstboot.steps import Context, cabling
from firstboot.steps.meet import Rendezvous, arrive
from firstboot.steps.verification import SUMMARY

APPLY = "apply"  # as a step, for people
AGENT_UNIT = "ksnode.service"
RETRY_S, SETTLING_S = 30.0, 5.0  # seconds; a node that boots is not at once as planned


class Busy(Exception):
    """Another agent is at work on this node."""


def agent(identity: Identity, root: Path, _: argparse.Namespace) -> int:
    """What ksnode.service runs: converge, trying again for ever, then answer the peer."""
    context, journal = a_context(identity, root)
    journal.progress("first-boot", "done", "the agent has started")
    try:
        with alone(root):
            _converge_for_ever(context, journal)
    except Busy as busy:
        return say_busy(busy)
    else:  # without the lock: from here on nothing is changed
        _stay(context, journal)


def run_once(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Converge once, or say what that would change."""
    if arguments.dry_run:
        return _dry_run(identity, root)
    try:
        with alone(root):
            context, journal = a_context(identity, root)
            outcome = _attempt(context, journal)
            journal.progress.flush()
            return outcome
    except Busy as busy:
        return say_busy(busy)


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keep every other agent out. Raises Busy when one is at work."""
    with (root / "run/ksnode.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another agent is at work; see: ksnode status") from None
        yield


def say_busy(busy: Busy) -> int:
    """Tell it; the exit status for it."""
    print(f"ksnode: {busy}", file=sys.stderr)
    return BUSY


def a_context(identity: Identity, root: Path) -> tuple[Context, Journal]:
    """All that steps need on this node, and the journal they report to."""
    boot_id = facts.boot_id(root)
    journal = Journal(root, identity, boot_id)
    meeting = Meeting(identity, root, boot_id)
    context = Context(identity, root, run, journal, meeting)
    answering = (
        *(Admission(identity, root, run), Voucher(context), Teller(identity, root, run)),
        Taker(context),
    )
    meeting.admit(
        lambda kind, told: {
            topic: said for one in answering for topic, said in one.answer(kind, told).items()
        }
    )
    return context, journal


def _attempt(context: Context, journal: Journal) -> int:
    """Converge once; what came of it is in RESULT."""
    _say_hello(context)
    os.sync()  # what a killed agent wrote but did not sync is believed from here on: keep it
    try:
        converge(
            steps(context),
            journal,
            has=context.identity.pair.has,
            arrive=lambda step: arrive(context, step),
        )
    except Refused as refusal:
        journal.verdict("refused", evidence=refusal.evidence, next=refusal.way_out)
        return REFUSED
    except (StepFailed, CommandError, OSError) as error:
        journal.verdict("failed", evidence=str(error), next="journalctl -u ksnode")
        return FAILED
    _conclude(context, journal)
    return OK


def _say_hello(context: Context) -> None:
    """Answer on the cables this node knows: a peer that still looks for its own needs that."""
    with contextlib.suppress(Refused, CommandError, OSError):  # the cabling step tells these
        cabling.answer(context)


def _conclude(context: Context, journal: Journal) -> None:
    identity = context.identity
    result = {"digest": plan_digest(identity.pair), "peer": identity.peer.name}
    os.sync()  # systemctl enable and nmcli leave that to others, and no agent looks again
    latches.set_once(context.root, latches.COMPLETE, json.dumps(result, sort_keys=True) + "\n")
    journal.verdict("complete", **result)
    with contextlib.suppress(OSError):
        summary = (context.root / SUMMARY).read_text(encoding="utf-8")
        journal.progress("report", "done", summary)
    journal.progress("result", "complete", f"with {identity.peer.name}")


def _converge_for_ever(context: Context, journal: Journal) -> None:
    """A node that was complete before is left as it is."""
    if not latches.is_set(context.root, latches.COMPLETE):
        while _attempt(context, journal) != OK:
            time.sleep(RETRY_S)
    elif not journal.has_verdict("complete", digest=plan_digest(context.identity.pair)):
        _conclude(context, journal)  # cut off after the latch, or another plan since: ksnode apply


def _stay(context: Context, journal: Journal) -> NoReturn:
    """On a complete node: answer the peer, and tell where the node drifts from its plan."""
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)  # the console has peace
    for step in steps(context):
        if step.barrier:
            context.meeting.reach(step.name)
    context.meeting.reach(Rendezvous.name)
    undone, taker = False, Taker(context)
    while True:
        taker.look()
        undone = _look_after_changes(context, was_undone=undone)
        _say_hello(context)
        answering, as_planned = True, False
        try:
            context.meeting.start()
        except OSError as error:  # the bond has no address yet
            answering = False
            journal("answering", "waiting", str(error))
        else:
            journal("answering", "ok")
        with contextlib.suppress(Refused, CommandError, OSError):
            if told := updating.after_restart(context):
                journal("update", *told)
        with contextlib.suppress(Refused, CommandError, OSError):  # converge() has told the step's
            as_planned = converge(
                steps(context), journal, has=context.identity.pair.has, dry_run=True
            )
        time.sleep(RETRY_S if answering and as_planned else SETTLING_S)


def _look_after_changes(context: Context, *, was_undone: bool) -> bool:
    """Put back a change that died, and begin anew where node.json is another by now.

    Answers whether a change is unfinished; `was_undone` is what it answered last.
    """
    root, run = context.root, context.run
    if changing.is_undone(root):
        try:
            with alone(root):
                changing.put_back(_node_json(root), root, run, context.report)
        except Busy:  # it is at work
            return was_undone
        except (Refused, StepFailed, CommandError, OSError) as error:
            context.report(APPLY, "failed", f"not put back yet: {error}")
            return True
        was_undone = True
    if was_undone:
        context.report(APPLY, "ok", "an unfinished change was put back")
    if _node_json(root) != context.identity:
        run(["systemctl", "--no-block", "restart", AGENT_UNIT])
    return False


def _node_json(root: Path) -> Identity:
    return from_json((root / changing.NODE).read_text(encoding="utf-8"))


def _dry_run(identity: Identity, root: Path) -> int:
    def say(step: str, event: str, detail: str = "") -> None:
        print(f"{step}: {event}{': ' + detail if detail else ''}")

    meeting = Meeting(identity, root, facts.boot_id(root))
    context = Context(identity, root, run, say, meeting)
    try:
        same = converge(steps(context), say, has=identity.pair.has, dry_run=True)
    except Refused:
        return REFUSED
    except (CommandError, OSError):
        return FAILED
    return OK if same else DIFFERENT
