"""ksnode status, why and check: what the agent last said, for people and for Nagios."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any, Optional

from firstboot import latches
from firstboot.commands import CommandError, run
from firstboot.exits import CRITICAL, FAILED, OK, UNKNOWN, WARNING
from firstboot.journal import SCHEMA, STATE, now
from firstboot.node import Identity
from firstboot.splitbrain import look as split
from firstboot.verbs import checking
from firstboot.verification import oddities, state

ODD = "warning"  # of a finished pair: it works, and not all of the plan is in effect
# What an event says of its step; anything else is as it should be.
UNHEALTHY = {"refused": CRITICAL, "failed": CRITICAL, "missing": WARNING, "waiting": WARNING}
UNHEALTHY[ODD] = WARNING


def status(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """How far each step is, since when."""
    said = _read(root)
    if said is None:
        return _nothing_said()
    if arguments.json:
        print(json.dumps(said, indent=2, sort_keys=True))
        return OK
    whole = "complete" if latches.is_set(root, latches.COMPLETE) else "not complete yet"
    print(f"{identity.node} of pair {identity.pair.name}: {whole}")
    if identity.description:
        print(identity.description)
    for name, step in said["steps"].items():
        print(f"{step['since']}  {name}: {step['event']} {step['detail']}".rstrip())
    return OK


def why(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """What is not as it should be: the step, since when, what was seen, the next command."""
    said = _read(root)
    if said is None:
        return _nothing_said()
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    found = split.reasons(identity, root, run)  # first, for it is why others are not well
    found += [_reason(name, step) for name, step in said["steps"].items() if _is_bad(step)]
    found += [_reason("verification", step) for step in _odd(identity, root)]
    if arguments.json:
        said = {"schema": SCHEMA, "node": identity.node, "reasons": found}
        print(json.dumps(said, indent=2, sort_keys=True))
        return OK
    for reason in found:
        print(f"{reason['step']}: {reason['event']} since {reason['since']}")
        print(f"  seen: {reason['seen']}")
        print(f"  next: {reason['next']}")
    if not found:
        print(f"{identity.node}: every step is as it should be")
    return OK


def check(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """One line and Nagios' exit status: complete and as planned, or the worst that is not.

    Of a complete node it also looks what is in effect now: cables, links, crypto, denials.
    """
    if arguments.metrics:
        checking.all_metrics(identity, root)
        return OK
    if arguments.subsystem:
        return checking.one(identity, root, arguments.subsystem)
    said = _read(root)
    if said is None:
        print("KSNODE UNKNOWN - the agent has said nothing yet")
        return UNKNOWN
    bad = [(name, step) for name, step in said["steps"].items() if _is_bad(step)]
    bad += [("verification", step) for step in _odd(identity, root)]
    worst = max((UNHEALTHY[step["event"]] for _, step in bad), default=OK)
    if not latches.is_set(root, latches.COMPLETE):
        worst = max(worst, WARNING)
    label = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL"}[worst]
    told = "; ".join(f"{name} {step['event']}: {step['detail']}" for name, step in bad)
    # Nagios ends the text at a bar, where performance data begin.
    print(f"KSNODE {label} - {identity.node}: {told or 'as planned'}".replace("|", "/"))
    return worst


def _odd(identity: Identity, root: Path) -> list[dict[str, str]]:
    """What a finished pair lacks at this moment, looked at now; the agent itself does not look."""
    if not latches.is_set(root, latches.COMPLETE):
        return []
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)  # Nagios reads one line
    try:
        found = oddities.warnings(identity, state.seen(identity, root, run))
    except (CommandError, OSError) as error:
        found = [str(error)]
    return [{"event": ODD, "detail": text, "since": now()} for text in found]


def _is_bad(step: dict[str, str]) -> bool:
    return step["event"] in UNHEALTHY


def _reason(name: str, step: dict[str, str]) -> dict[str, str]:
    seen, _, way_out = step["detail"].partition("; next: ")
    usual = "journalctl -u ksnode" if step["event"] == "failed" else "ksnode run"
    if step["event"] == "waiting":
        usual = "nothing: it goes on by itself; to see how: journalctl -fu ksnode"
    return {
        "step": name,
        "event": step["event"],
        "since": step["since"],
        "seen": seen,
        "next": way_out or usual,
    }


def _read(root: Path) -> Optional[dict[str, Any]]:
    try:
        said: dict[str, Any] = json.loads((root / STATE / "status.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return said


def _nothing_said() -> int:
    print("ksnode: the agent has said nothing yet\nnext: systemctl status ksnode", file=sys.stderr)
    return FAILED
