"""ksnode apply PLAN: change a complete node to another plan of its pair, as far as it can live on.

What may cut the node off comes first, and is put back unless whoever answered before answers again.
"""

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from firstboot import change, changing, drbd, files, latches, links, pacemaker, planfile, units
from firstboot.change import Difference
from firstboot.commands import CommandError, Run, run
from firstboot.engine import Refused, Report, StepFailed, converge
from firstboot.exits import DIFFERENT, FAILED, OK, REFUSED
from firstboot.node import BRIDGE, Identity, from_json, plan_digest, to_json
from firstboot.verbs.converging import AGENT_UNIT, Busy, alone, say_busy
from firstboot.verbs.gate import ANSWER_S, answering

POLL_S = 2.0
GATEWAY = "the gateway"
ANSWER_SCHEMA = 1  # of --json: raised when a key goes or changes its meaning


def apply(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Say what differs, and change it; REFUSED leaves everything as it was."""
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    try:
        text = _read(arguments.plan)
        wanted = planfile.parse(text, identity)
        found = change.differences(identity.pair, wanted.pair)
        _show(identity, wanted, found, as_json=arguments.json)
        allow(root, found)
        same = wanted == identity and not changing.is_undone(root)
        if same or arguments.dry_run:
            return OK if same else DIFFERENT
        # Stopped half way, it would keep everybody else from putting back.
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        with alone(root):
            change_to(identity, root, wanted, text, run, _say)
    except Busy as busy:
        return say_busy(busy)
    except Refused as refusal:
        print(f"ksnode: {refusal.evidence}\nnext: {refusal.way_out}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("ksnode: interrupted; what was changed is put back", file=sys.stderr)
        return FAILED
    except (StepFailed, CommandError, OSError) as error:
        print(f"ksnode: {error}\nnext: ksnode why; mend that, then the same again", file=sys.stderr)
        return FAILED
    _say("apply", "done", f"{identity.node} lives by plan {plan_digest(wanted.pair)}")
    _say("apply", "next", f"the same on {identity.peer.name}, if it is not done there")
    return OK


def allow(root: Path, found: Sequence[Difference]) -> None:
    """Raises Refused unless the node is complete and can take every difference."""
    if no := change.needs_reinstall(found):
        raise Refused(
            f"needs a reinstall: {', '.join(difference.path for difference in no)}",
            "change the profile's others alone, or install the pair anew",
        )
    if not latches.is_set(root, latches.COMPLETE):
        raise Refused("this node is not complete; it has no life to change it in", "ksnode why")


def change_to(
    identity: Identity,
    root: Path,
    wanted: Identity,
    text: str,
    run: Run,
    report: Report,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Change, or put back and raise why. `text` is the plan's; `identity` is node.json's.

    Raises Busy, Refused, StepFailed, CommandError or OSError. An earlier change that was cut off is
    put back first.
    """
    if from_json((root / changing.NODE).read_text(encoding="utf-8")) != identity:
        raise Busy("this node's plan has just changed; see: ksnode status")
    if changing.is_undone(root):
        report("apply", "waiting", "an earlier change is put back")
        changing.put_back(identity, root, run, report)
    _check_whole(identity, root, wanted, run)
    names = change.steps(change.differences(identity.pair, wanted.pair))
    every = changing.steps(wanted, root, run, report, names, identity.pair)
    converge(every, _unheard, has=wanted.pair.has, dry_run=True)  # refused before, not half way
    changing.begin(root, text)
    changing.claim(identity, root, wanted.pair, run, sleep=sleep)
    try:
        if change.UPLINK in names:
            _network(identity, root, wanted, run, report, sleep)
        others = [name for name in names if name != change.UPLINK]
        steps = changing.steps(wanted, root, run, report, others, identity.pair)
        converge(steps, report, has=wanted.pair.has)
        files.replace(root / changing.NODE, to_json(wanted).encode(), 0o600)
    except BaseException:
        report("apply", "failed", "everything is put back")
        changing.put_back(identity, root, run, report)
        raise
    changing.end(wanted, root, run)


def reached(identity: Identity, run: Run) -> "set[str]":
    """Who answers of the peer, by both its addresses, and of the local network's gateway."""
    ping = ["ping", "-n", "-q", "-c", "1", "-W", str(ANSWER_S), "-I", BRIDGE]
    # 1: no answer, 2: no such device or network (ping(8)).
    code = run([*ping, identity.me.uplink.gateway], ok=(0, 1, 2)).returncode
    peer = (f"{identity.peer.name} on {link}" for link in answering(identity, run))
    return {*peer, *([] if code else [GATEWAY])}


def _check_whole(identity: Identity, root: Path, wanted: Identity, run: Run) -> None:
    """Raises Refused where a change now could cost more than itself."""
    if not units.states(run, [AGENT_UNIT])[AGENT_UNIT].active:
        raise Refused(
            f"{AGENT_UNIT} does not run: nobody would put back a change that dies",
            f"systemctl start {AGENT_UNIT}",
        )
    data = drbd.status(run, root, drbd9=identity.pair.has("drbd9"))
    if refusal := changing.objection(identity, pacemaker.status(run), data):
        raise refusal
    shown = links.parse(run(["ip", "-j", "-d", "address", "show"]).stdout)
    if guests := change.guests_in_the_way(identity, wanted, shown):
        raise Refused(
            f"guests would lose their network: {', '.join(guests)}",
            f"move them to {identity.peer.name}, then the same again",
        )


def _network(
    identity: Identity,
    root: Path,
    wanted: Identity,
    run: Run,
    report: Report,
    sleep: Callable[[float], None],
) -> None:
    """Change the uplink within WITHIN_S. Raises when that fails or somebody is lost by it."""
    before, deadline = reached(identity, run), time.monotonic() + changing.WITHIN_S
    in_time = changing.until(deadline, run, time.monotonic)
    steps = changing.steps(wanted, root, in_time, report, [change.UPLINK], identity.pair)
    converge(steps, report, has=wanted.pair.has)
    while lost := ", ".join(sorted(before - reached(wanted, run))):
        if time.monotonic() > deadline:
            raise Refused(
                f"not reached any more within {changing.WITHIN_S} s: {lost}",
                "compare the plan with the switch, then the same again",
            )
        report("apply", "waiting", f"no answer any more from {lost}")
        sleep(POLL_S)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(planfile.MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", planfile.AGAIN) from None


def _show(
    identity: Identity, wanted: Identity, found: Sequence[Difference], *, as_json: bool
) -> None:
    if as_json:
        print(json.dumps(_answer(identity, wanted, found), indent=2, sort_keys=True))
        return
    for difference in found:
        print(difference)
    if identity.description != wanted.description:
        print("~ description (in life)")
    if identity == wanted:
        print("nothing differs")


def _answer(identity: Identity, wanted: Identity, found: Sequence[Difference]) -> "dict[str, Any]":
    return {
        "schema": ANSWER_SCHEMA,
        "node": identity.node,
        "digest": plan_digest(identity.pair),
        "wanted": plan_digest(wanted.pair),
        "differences": [
            {
                "path": difference.path,
                "before": difference.before,
                "after": difference.after,
                "how": difference.way.how,
                "note": difference.way.note,
            }
            for difference in found
        ],
    }


def _unheard(step: str, event: str, detail: str = "") -> None:
    """A look in advance is nobody's news."""


def _say(step: str, event: str, detail: str = "") -> None:
    """To standard error: standard output is the difference's."""
    print(f"ksnode: {step}: {event}{': ' + detail if detail else ''}", file=sys.stderr, flush=True)
