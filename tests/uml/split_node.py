"""Runs on a machine as its only program: a finished pair's agent as far as the peer can ask it, and
a shell for the test, which lays orders where the host and the machine both see them.

Arguments: the host name and the address of vec0.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

from firstboot import latches
from firstboot.commands import CommandError
from firstboot.engine import Refused, StepFailed, converge
from firstboot.node import from_json
from firstboot.steps.filesystem import FileSystem
from firstboot.steps.meet import arrive
from firstboot.steps.replication import Replication
from firstboot.verbs.converging import a_context

ROOT = Path("/")
ORDERS = Path("/var/lib/drbd")


def report(step: str, event: str, detail: str = "") -> None:
    """As the journal does."""
    print(f"ksnode: {step}: {event}: {detail}", flush=True)


def obey(order: Path) -> None:
    """Run one order; its exit status and output appear at once and whole."""
    done = subprocess.run(
        ["sh", "-c", order.read_text()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    told = order.with_suffix(".told")
    told.write_text(f"{done.returncode}\n{done.stdout}")
    told.rename(order.with_suffix(".answer"))


def main() -> None:
    """At the first boot make a pair, as the agent does; later bring DRBD up, as pacemaker does."""
    identity = from_json(Path("/etc/ksbuild/node.json").read_text())
    context, _ = a_context(identity, ROOT)
    context.meeting.start()
    steps = [Replication(context), FileSystem(context)]
    while not latches.is_set(ROOT, latches.COMPLETE):
        try:
            converge(steps, report, has=identity.pair.has, arrive=lambda s: arrive(context, s))
        except (Refused, StepFailed, CommandError, OSError) as error:
            print(f"split: failed: {error}", flush=True)
            time.sleep(5)
        else:
            latches.set_once(ROOT, latches.COMPLETE, "")
    context.run(["drbdadm", "adjust", "vmdata"])
    print(f"split: ready {sys.argv[1]}", flush=True)
    begun = set(ORDERS.glob("*.order"))  # before a power cut: nobody waits for those
    while True:
        for order in sorted(ORDERS.glob("*.order")):
            if order not in begun:
                begun.add(order)
                threading.Thread(target=obey, args=(order,), daemon=True).start()
        time.sleep(0.3)


main()
