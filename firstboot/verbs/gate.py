"""ksnode gate: what ksbuild-gate.service runs at each boot of a complete node."""

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import Callable

from firstboot import facts, gate, latches, pacemaker
from firstboot.commands import CommandError, Run, run
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.node import BOND, Identity

LOOK_AGAIN_S = 5.0
ANSWER_S = 2


def pass_gate(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Start the cluster once that is right; with --stopped note that this boot ends cleanly."""
    boot_id = facts.boot_id(root)
    if arguments.stopped:
        gate.end(root, boot_id)
        return OK
    if not latches.is_set(root, latches.COMPLETE):
        print("ksnode: this node is not complete: its agent starts the cluster", file=sys.stderr)
        return REFUSED
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)  # a look every few seconds
    try:
        wait_and_start(identity, root, boot_id, run)
    except CommandError as error:
        print(f"ksnode: gate: {error}", file=sys.stderr)
        return FAILED
    return OK


def wait_and_start(
    identity: Identity,
    root: Path,
    boot_id: str,
    run: Run,
    *,
    now: Callable[[], float] = time.time,
    uptime: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once both daemons run on this node. Raises CommandError when one can't be asked."""
    since = now() - uptime()  # the clock may be set while this waits
    boots = gate.begin(root, boot_id, since + uptime())
    told, peer = "", identity.peer.name
    while not pacemaker.units_active(run):
        links = answering(identity, run)
        decision = gate.decide(boots, since + uptime(), peer, links)
        if decision.start:
            pacemaker.start_units(run)
            text = f"{peer} answers on {' and '.join(links)}; starting the cluster"
            if broken := pacemaker.broken_units(run):
                text = "; ".join(broken)
        else:
            text = f"{decision.why}; next: if {peer} is off: ksnode start-alone {peer}"
        if text != told:
            print(f"ksnode: gate: {text}", flush=True)
            gate.say(root, boot_id, text)
        told = text
        sleep(LOOK_AGAIN_S)
    print("ksnode: gate: the cluster runs", flush=True)


def answering(identity: Identity, run: Run) -> list[str]:
    """The links on which the peer answers a ping, by name."""
    peer = identity.peer
    # By device: without the bond its network would be looked for behind the default route.
    tries = {
        BOND: ["-I", BOND, _host(peer.crossover_address)],
        "the uplink": [_host(peer.uplink.address)],
    }
    ping = ["ping", "-n", "-q", "-c", "1", "-W", str(ANSWER_S)]
    # 1: no answer, 2: no such device or network (ping(8)).
    return [name for name, to in tries.items() if run([*ping, *to], ok=(0, 1, 2)).returncode == 0]


def _host(address: str) -> str:
    return address.split("/", maxsplit=1)[0]
