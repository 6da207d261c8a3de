"""Runs on a machine as its only program: the agent's two storage steps, until they are done.

Arguments: the host name and the address of vec0. Words for the test go to the console.
"""

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firstboot import facts, latches
from firstboot.commands import CommandError, Result, run
from firstboot.engine import Refused, StepFailed, converge
from firstboot.node import from_json
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.filesystem import FileSystem
from firstboot.steps.meet import arrive
from firstboot.steps.replication import Replication
from firstboot.steps.resync import Resync

ROOT = Path("/")
RATE_MIB_S = 77  # what a resync is changed to, and back


def say(word: str, what: object) -> None:
    """One line for the test."""
    print(f"storage: {word}: {json.dumps(what)}", flush=True)


def noted(argv: Sequence[str], **options: Any) -> Result:
    """Every command, and a pause where the test asks for a cut: CUT holds its first words.

    After WAIT seconds, if there is no cut, it goes on.
    """
    words = " ".join(argv)
    cut = os.environ.get("CUT", "")
    if cut and words.startswith(cut):
        say("cut", words)
        if os.environ.get("AFTER"):
            run(argv, **options)
            say("did", words)
        time.sleep(int(os.environ.get("WAIT", "3600")))
    say("ran", words)
    return run(argv, **options)


def report(step: str, event: str, detail: str = "") -> None:
    """As the journal does; while waiting also what the kernel says."""
    print(f"ksnode: {step}: {event}: {detail}", flush=True)
    if event == "waiting":
        say("proc", Path("/proc/drbd").read_text() if Path("/proc/drbd").exists() else "")


def rate_after(context: Context, mib_s: int) -> "list[str]":
    """The most of a resync that the kernel has once it was told of it in its life."""
    pair = context.identity.pair
    pair = replace(pair, drbd=replace(pair.drbd, resync_mib_s=mib_s))
    Resync(replace(context, identity=replace(context.identity, pair=pair))).apply()
    return re.findall(r"c-max-rate\s+(\w+)", run(["drbdsetup", "show", "vmdata"]).stdout)


def main() -> None:
    """Converge, trying again as ksnode does; then tell what came of it, and answer the peer."""
    identity = from_json(Path("/etc/ksbuild/node.json").read_text())
    meeting = Meeting(identity, ROOT, facts.boot_id(ROOT))
    context = Context(identity, ROOT, noted, report, meeting)
    meeting.start()
    started = time.monotonic()
    while True:
        try:
            steps = [Replication(context), FileSystem(context)]
            converge(steps, report, has=identity.pair.has, arrive=lambda s: arrive(context, s))
        except (Refused, StepFailed, CommandError, OSError) as error:
            say("failed", str(error))
            time.sleep(5)
        else:
            break
    say("seconds", round(time.monotonic() - started, 1))
    say("proc", Path("/proc/drbd").read_text())
    say("latches", sorted(p.name for p in (ROOT / "var/lib/ksbuild").iterdir()))
    say("data", latches.is_set(ROOT, latches.DATA_EXISTS))
    before = time.monotonic()
    converge([Replication(context), FileSystem(context)], report, has=identity.pair.has)
    say("again", round(time.monotonic() - before, 2))
    if identity.node == identity.pair.nodes[0].name:  # DRBD 8.4 hands its rates to the peer
        there = identity.pair.drbd.resync_mib_s
        say("rates", [rate_after(context, RATE_MIB_S), rate_after(context, there)])
    say("done", sys.argv[1])
    while True:
        time.sleep(3600)


main()
