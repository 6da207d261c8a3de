"""ksnode guest add|remove|move|list|console: the pair's guests, all of them pacemaker's."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable

from firstboot import pacemaker
from firstboot.commands import CommandError, Run, run
from firstboot.engine import Refused
from firstboot.exits import DIFFERENT, FAILED, OK, REFUSED
from firstboot.guest import cluster, domain, resource
from firstboot.guest.cluster import NotYet
from firstboot.guest.resource import Guest
from firstboot.node import Identity
from firstboot.render.cib import MOUNT
from firstboot.verbs import guestadd, guestlist
from firstboot.verbs.converging import Busy, say_busy


def guest(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Do what was typed; REFUSED leaves everything as it was."""
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    actions: dict[str, Callable[[Identity, Path, argparse.Namespace, Run], int]] = {
        "add": guestadd.add,
        "remove": remove,
        "move": move,
        "list": guestlist.show,
        "console": guestlist.console,
    }
    try:
        return actions[arguments.action](identity, root, arguments, run)
    except Busy as busy:
        return say_busy(busy)
    except Refused as refusal:
        print(f"ksnode: {refusal.evidence}\nnext: {refusal.way_out}", file=sys.stderr)
        return REFUSED
    except NotYet as error:
        print(f"ksnode: {error}", file=sys.stderr)
    except (CommandError, OSError) as error:
        print(f"ksnode: {error}\nnext: ksnode guest list; crm_mon -1rf", file=sys.stderr)
    return FAILED


def move(identity: Identity, root: Path, arguments: argparse.Namespace, run: Run) -> int:
    """Move a guest live. Nothing of it stays in the CIB, however it ends."""
    state = cluster.ready(root, run)
    name = cluster.one(cluster.known(run), arguments.name).name
    source, target = _way(identity, state, name, arguments.node)
    if source == target:
        print(f"ksnode: {name} runs on {target} already")
        return OK
    if arguments.dry_run:
        print(f"ksnode: {name} would be moved live from {source} to {target}")
        return DIFFERENT
    most_s = resource.MOVE_S * identity.pair.cluster.timeout_factor
    before = set(cluster.failures(state, name))
    try:
        pacemaker.move(run, name, target, most_s)
        cluster.wait(lambda: _not_on(run, name, target), most_s, "crm_mon -1rf")
    finally:  # it stays there by the CIB's stickiness
        pacemaker.settle(run, name)
    for failure in sorted(set(cluster.failures(pacemaker.status(run), name)) - before):
        print(f"ksnode: {failure}: it was not moved live but started anew", file=sys.stderr)
    print(f"ksnode: {name} runs on {target}")
    return OK


def _way(
    identity: Identity, state: pacemaker.Cluster, name: str, wanted: "str | None"
) -> tuple[str, str]:
    """From which node to which. Raises Refused."""
    names = [node.name for node in identity.pair.nodes]
    running = cluster.nodes_of(state, name)
    if len(running) != 1:
        where = " and ".join(running) or "no node"
        raise Refused(f"{name} runs on {where}", "ksnode guest list; crm_mon -1rf")
    target = wanted or next(node for node in names if node != running[0])
    if target not in names:
        raise Refused(f"{target} is none of {' and '.join(names)}", f"ksnode guest move {name}")
    if target not in state.online or not state.runs(MOUNT, target):
        evidence = f"{target} can't take it: {identity.pair.gfs2.mount} is not mounted there"
        raise Refused(evidence, "crm_mon -1rf; on that node: ksnode why")
    return running[0], target


def _not_on(run: Run, name: str, target: str) -> list[str]:
    state = pacemaker.status(run)
    running = cluster.nodes_of(state, name) if state is not None else []
    if state is not None and running == cluster.started_on(state, name) == [target]:
        return []
    return [f"{name} runs on {' and '.join(running) or 'no node'}, not on {target}"]


def remove(identity: Identity, root: Path, arguments: argparse.Namespace, run: Run) -> int:
    """Stop a guest and take it out of the cluster; its disks and its XML stay."""
    state = cluster.ready(root, run)
    guests = cluster.known(run)
    found = cluster.one(guests, arguments.name)
    name = found.name
    told = _consequences(guests, found, cluster.nodes_of(state, name))
    if arguments.dry_run:
        print(f"ksnode: {told}\nwould be taken out of the CIB: {resource.xpath(name)}")
        return DIFFERENT
    if arguments.confirm != name:
        raise Refused(told, f"ksnode guest remove {name} --confirm {name}")
    kept = _kept(root, guests, found)
    pacemaker.stop(run, name)
    most_s = resource.OPERATIONS["stop"][0] * identity.pair.cluster.timeout_factor
    back = f"crm_mon -1rf; or leave it: crm_resource -r {name} --meta -d target-role"
    cluster.wait(lambda: _still_on(run, name), most_s, back)
    pacemaker.forget(run, resource.xpath(name))
    print(f"ksnode: {name} is no guest of this pair any more; what it was is still there")
    print(f"to have it back: ksnode guest add {name} --xml {found.config}")
    print(f"to delete it: rm {' '.join(kept)}")
    return OK


def _consequences(guests: Mapping[str, Guest], found: Guest, running: Sequence[str]) -> str:
    name, where = found.name, f" on {' and '.join(running)}" if running else ", which does not run"
    later = resource.dependents(guests.values(), name)
    others = f"; {', '.join(later)} would no longer start after it" if later else ""
    return f"this stops {name}{where} and takes it out of the cluster; its disks stay{others}"


def _kept(root: Path, guests: Mapping[str, Guest], found: Guest) -> list[str]:
    """Its XML, and the disks that no other guest has."""
    mine = domain.claims(cluster.description(root, found) or "<domain/>")
    for other in guests.values():
        if other.name != found.name:
            mine -= domain.claims(cluster.description(root, other) or "<domain/>")
    disks = sorted(c[len(domain.DISK) :] for c in mine if c.startswith(domain.DISK))
    return [found.config, *disks]


def _still_on(run: Run, name: str) -> list[str]:
    state = pacemaker.status(run)
    if state is None:
        return ["pacemaker does not answer"]
    return [f"{name} still runs on {node}" for node in cluster.nodes_of(state, name)]
