"""ksnode: the agent's command line.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 node.json not usable, 5 refused,
7 `run --dry-run` found something to do, 75 another agent is running. They never change.
"""

import argparse
import contextlib
import fcntl
import json
import logging
import sys
import time
from pathlib import Path
from typing import NoReturn, Optional

from firstboot import VERSION, facts, latches
from firstboot.commands import CommandError, run
from firstboot.engine import Refused, StepFailed, converge
from firstboot.journal import STATE, Journal
from firstboot.node import Identity, NodeError, from_json, plan_digest
from firstboot.rendezvous.session import Meeting
from firstboot.sequence import steps
from firstboot.steps import Context
from firstboot.steps.meet import Rendezvous, arrive

OK, FAILED, BAD_PLAN, REFUSED, DIFFERENT, BUSY = 0, 1, 3, 5, 7, 75
RETRY_S, SETTLING_S = 30.0, 5.0  # seconds; a node that boots is not at once as planned


def main(argv: Optional[list[str]] = None) -> int:
    """Parse the command line and do it; the exit status is the answer."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="ksnode: %(message)s", level=logging.INFO, stream=sys.stdout)
    root = Path(arguments.root)
    if arguments.command == "status":
        return _status(root, as_json=arguments.json)
    try:
        identity = from_json((root / "etc/ksbuild/node.json").read_text(encoding="utf-8"))
    except (OSError, NodeError) as error:
        print(f"ksnode: {error}", file=sys.stderr)
        return BAD_PLAN
    if arguments.command == "run" and arguments.dry_run:
        return _dry_run(identity, root)
    with (root / "run/ksnode.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("ksnode: another agent is at work; see: ksnode status", file=sys.stderr)
            return BUSY
        context, journal = _context(identity, root)
        if arguments.command == "run":
            return _attempt(context, journal)
        _agent(context, journal)
    return _stay(context, journal)  # without the lock: from here on nothing is changed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ksnode", description="the agent of a ksbuild node")
    parser.add_argument("--version", action="version", version=f"ksnode {VERSION}")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("agent", help="what ksnode.service runs: converge, then answer the peer")
    running = commands.add_parser("run", help="bring this node to its plan, once")
    running.add_argument("--dry-run", action="store_true", help="only say what is missing")
    status = commands.add_parser("status", help="what the agent is doing")
    status.add_argument("--json", action="store_true", help="the status file as it is")
    return parser


def _context(identity: Identity, root: Path) -> tuple[Context, Journal]:
    boot_id = facts.boot_id(root)
    journal = Journal(root, identity, boot_id)
    return Context(identity, root, run, journal, Meeting(identity, root, boot_id)), journal


def _attempt(context: Context, journal: Journal) -> int:
    """Converge once; what came of it is in RESULT."""
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


def _conclude(context: Context, journal: Journal) -> None:
    identity = context.identity
    result = {"digest": plan_digest(identity.pair), "peer": identity.peer.name}
    latches.set_once(context.root, latches.COMPLETE, json.dumps(result, sort_keys=True) + "\n")
    journal.verdict("complete", **result)


def _agent(context: Context, journal: Journal) -> None:
    """Converge, trying again for ever; a node that was complete before is left as it is."""
    if not latches.is_set(context.root, latches.COMPLETE):
        while _attempt(context, journal) != OK:
            time.sleep(RETRY_S)
    elif not journal.has_verdict("complete"):  # cut off between the latch and the verdict
        _conclude(context, journal)


def _stay(context: Context, journal: Journal) -> NoReturn:
    """On a complete node: answer the peer, and tell where the node drifts from its plan."""
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)  # the console has peace
    context.meeting.reach(Rendezvous.name)
    while True:
        answering, as_planned = True, False
        try:
            context.meeting.start()
        except OSError as error:  # the bond has no address yet
            answering = False
            journal("answering", "waiting", str(error))
        else:
            journal("answering", "ok")
        with contextlib.suppress(Refused, CommandError, OSError):  # converge() has told the step's
            as_planned = converge(
                steps(context), journal, has=context.identity.pair.has, dry_run=True
            )
        time.sleep(RETRY_S if answering and as_planned else SETTLING_S)


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


def _status(root: Path, *, as_json: bool) -> int:
    path = root / STATE / "status.json"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        print(f"ksnode: no status yet: {error}\nnext: systemctl status ksnode", file=sys.stderr)
        return FAILED
    if as_json:
        print(text, end="")
        return OK
    status = json.loads(text)
    for name, step in status["steps"].items():
        print(f"{step['since']}  {name}: {step['event']} {step['detail']}".rstrip())
    return OK


if __name__ == "__main__":
    sys.exit(main())
