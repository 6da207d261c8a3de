"""ksnode guest list and console: where guests are, and what libvirt has beside the cluster."""

import argparse
import json
import sys
from pathlib import Path

from firstboot import pacemaker, virsh
from firstboot.commands import CommandError, Run, attend
from firstboot.engine import Refused
from firstboot.exits import FAILED, OK
from firstboot.guest import cluster, domain, listing
from firstboot.guest.listing import Outside
from firstboot.node import Identity
from firstboot.pacemaker import Cluster


def show(identity: Identity, root: Path, arguments: argparse.Namespace, run: Run) -> int:
    """Every guest, and every domain of libvirt's that is none."""
    state = cluster.ready(root, run)
    guests = cluster.known(run)
    placed = listing.places(pacemaker.report(run) or "<none/>")
    place = identity.pair.gfs2.mount
    described = {name: cluster.description(root, guest) for name, guest in guests.items()}
    disks = {name: domain.files_in(text) for name, text in described.items() if text}
    rows = listing.rows(guests.values(), placed, disks, place)
    ours = {cluster.name_in_libvirt(root, guest) for guest in guests.values()}
    seen, unseen = outside(identity, state, ours, run)
    if arguments.json:
        told = listing.as_json(identity.node, rows, seen, unseen)
        print(json.dumps(told, indent=2, sort_keys=True))
    else:
        print(listing.text(rows, seen, unseen))
    return OK


def outside(
    identity: Identity, state: Cluster, ours: "set[str]", run: Run
) -> "tuple[list[Outside], list[str]]":
    """What libvirt has on both nodes besides `ours`; the nodes that could not be asked."""
    found, unseen = [], []
    for node in identity.pair.nodes:
        uri = virsh.HERE if node.name == identity.node else virsh.there(node.name)
        there = _domains(run, uri) if node.name in state.online else None
        if there is None:
            unseen.append(node.name)
            continue
        for name in sorted(there.keys() - ours):
            disks = listing.disks(virsh.block_list(run, name, uri))
            apart = listing.elsewhere(disks, identity.pair.gfs2.mount)
            found.append(Outside(name, node.name, there[name], apart))
    return found, unseen


def _domains(run: Run, uri: str) -> "dict[str, str] | None":
    try:
        return listing.domains(virsh.listed(run, uri))
    except CommandError:  # its libvirt does not answer, which the list says
        return None


def console(identity: Identity, root: Path, arguments: argparse.Namespace, run: Run) -> int:
    """A guest's serial console on this terminal."""
    state = cluster.ready(root, run)
    guest = cluster.one(cluster.known(run), arguments.name)
    running = cluster.nodes_of(state, guest.name)
    if not running:
        raise Refused(f"{guest.name} does not run", "ksnode guest list; crm_mon -1rf")
    if identity.node not in running:
        there = running[0]
        raise Refused(
            f"{guest.name} runs on {there}", f"ssh -t {there} ksnode guest console {guest.name}"
        )
    print(f"ksnode: {guest.name}'s console; Ctrl and ] leave it", flush=True)
    ended = attend([*virsh.VIRSH, "console", cluster.name_in_libvirt(root, guest)])
    if ended:
        print("next: give it <serial type='pty'/> and a getty on it", file=sys.stderr)
    return FAILED if ended else OK
