"""ksnode resolve: after a split brain, show both halves, and give up the one that a human names.

The losing node goes first: what is typed there takes a copy of its metadata and lets its changes
go; what is typed on the other connects again. pacemaker keeps DRBD running meanwhile, and is told
(crm_resource --ban --promoted) not to promote the half that goes before it is a copy.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Callable, Optional

from firstboot import data, drbd, files, pacemaker, promotion
from firstboot.engine import Refused
from firstboot.journal import STATE, now
from firstboot.node import Identity
from firstboot.splitbrain import look, table, telling
from firstboot.splitbrain.half import STAND_ALONE
from firstboot.steps import Context
from firstboot.verbs.converging import a_context, alone
from firstboot.verbs.waiting import NotYet, outcome

POLL_S = 3.0
MEET_S = 600.0  # multiplied by the pair's timeout_factor


def resolve(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Show, or do; REFUSED leaves everything as it was."""

    def do() -> None:
        context, _ = a_context(identity, root)
        if arguments.discard is None:
            show(context, as_json=arguments.json)
            return
        _check_typed(identity, arguments.discard, arguments.cluster)
        with alone(root):
            part = _decide(context, arguments.discard)
            if arguments.dry_run:
                print("\n".join(planned(context, part)))
            else:
                go(context, part)

    return outcome(do, "the same once more; it goes on")


def show(context: Context, *, as_json: bool) -> None:
    """Both halves, as far as they are told."""
    identity = context.identity
    mine, theirs = look.look(identity, context.root, context.run), look.ask(context)
    cluster = identity.pair.name
    if as_json:
        print(json.dumps(telling.as_json(mine, theirs, cluster), indent=2, sort_keys=True))
    else:
        print(telling.text(mine, theirs, identity.peer.name, cluster))


def planned(context: Context, part: table.Part) -> "list[str]":
    """What go() would do, in words."""
    if part is table.Part.GIVE_WAY:
        return [
            f"a copy of the metadata goes to /{STATE}",
            f"pacemaker does not promote DRBD on {context.identity.node} meanwhile",
            "drbdadm disconnect, secondary, connect --discard-my-data; then the resync is awaited",
        ]
    if part is table.Part.KEEP:
        return ["pacemaker promotes here; drbdadm connect; then the resync is awaited"]
    return ["nothing but to wait for the resync" if part is table.Part.WAIT else "nothing"]


def go(context: Context, part: table.Part, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Do this node's part and wait for the end. Raises NotYet, CommandError or OSError."""
    if part is table.Part.GIVE_WAY:
        _give_way(context)
    elif part is table.Part.KEEP:
        _keep(context)
    _until_in_sync(context, sleep)
    _finish(context)
    print("ksnode: both nodes have the same data, all of it")


def _check_typed(identity: Identity, loser: str, cluster: Optional[str]) -> None:
    names = [node.name for node in identity.pair.nodes]
    if loser not in names:
        raise Refused(f"{loser} is none of {' and '.join(names)}", "ksnode resolve")
    if cluster != identity.pair.name:
        raise Refused(
            f"what was written on {loser} since the two parted would be lost for ever",
            f"if that is meant: {telling.command(loser, identity.pair.name)}",
        )


def _decide(context: Context, loser: str) -> table.Part:
    mine = look.look(context.identity, context.root, context.run)
    theirs = look.ask(context)
    return table.decide(_status(context), mine, theirs, context.identity.peer.name, loser)


def _give_way(context: Context) -> None:
    """Every command may be given again."""
    identity, run = context.identity, context.run
    _record(context)
    if pacemaker.status(run) is not None:
        promotion.keep_unpromoted(run, identity.node)
    status = _status(context)
    if status is not None and not status.stands_alone:
        drbd.disconnect(run)
    drbd.demote(run)
    drbd.connect(run, discard_my_data=True)
    print(
        f"ksnode: {identity.node} gives way; next, on {identity.peer.name}:"
        f" {telling.command(identity.node, identity.pair.name)}",
        flush=True,
    )


def _keep(context: Context) -> None:
    """Connect; a human who had typed here before that this half goes has thought better of it."""
    status = _status(context)
    if look.record(context.root) and status is not None and not status.stands_alone:
        drbd.disconnect(context.run)
    if pacemaker.status(context.run) is not None:
        promotion.call_newest(context.run, context.identity)
    _forget(context)
    status = _status(context)
    if status is not None and status.stands_alone:
        drbd.connect(context.run)


def _record(context: Context) -> None:
    """Keep a copy of the metadata, then what is being done; one that is there already stays."""
    identity, root = context.identity, context.root
    if look.record(root).get("discard") == identity.node:
        return
    at = now()
    copy = STATE / f"metadata-{at.replace(':', '')}.txt"
    partition = data.device(root, identity)
    text = drbd.dump_metadata(context.run, partition, drbd9=identity.pair.has("drbd9"))
    files.make_folder(root / STATE)
    files.replace(root / copy, text.encode(), 0o600)
    said = {"discard": identity.node, "at": at, "metadata": f"/{copy}"}
    files.replace(root / look.RECORD, (json.dumps(said, sort_keys=True) + "\n").encode(), 0o644)
    print(f"ksnode: the metadata as it was: /{copy}", flush=True)


def _until_in_sync(context: Context, sleep: Callable[[float], None]) -> None:
    """A resync has no deadline, meeting each other has."""
    left_s, told = MEET_S * context.identity.pair.cluster.timeout_factor, ""
    peer = context.identity.peer.name
    while True:
        status = _status(context)
        if status is not None and status.in_sync:
            return
        if (line := f"ksnode: {status or 'DRBD is not up'}") != told:
            told = line
            print(told, flush=True)
        if status is not None and status.stands_alone:
            raise NotYet(f"DRBD is {STAND_ALONE} again; what it says: dmesg | grep drbd")
        if status is None or not status.connected:
            if left_s <= 0:
                raise NotYet(f"{peer} was not met; ksnode check cables; ksnode resolve on {peer}")
            left_s -= POLL_S
        sleep(POLL_S)


def _finish(context: Context) -> None:
    """pacemaker may promote here again; what was typed is done."""
    if pacemaker.status(context.run) is not None:
        promotion.let_promote(context.run, context.identity.node)
    _forget(context)


def _forget(context: Context) -> None:
    (context.root / look.RECORD).unlink(missing_ok=True)
    files.sync_folder(context.root / STATE)


def _status(context: Context) -> Optional[drbd.Status]:
    drbd9 = context.identity.pair.has("drbd9")
    return drbd.status(context.run, context.root, drbd9=drbd9)
