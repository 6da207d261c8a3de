"""ksnode reset: start a failed first attempt over, on this node, as a human typed it.

What the attempt made here goes: cluster state, secrets, latches and the pair's data partition,
which then counts as erased by consent. What is neither this pair's nor blank is never touched.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from firstboot import data, files, latches
from firstboot.commands import CommandError
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.journal import STATE
from firstboot.node import RESOURCE, Identity
from firstboot.rendezvous.credentials import holds_ticket
from firstboot.seed import Content, Side
from firstboot.steps import Context
from firstboot.verbs.converging import Busy, a_context, alone, say_busy

UNITS = ("ksbuild-gate.service", "pacemaker.service", "corosync.service")
STOP_TIMEOUT_S = 600.0
GONE = (files.SECRETS, Path("etc/ksbuild/pair"), Path("var/lib/pacemaker/cib"))
KEPT = "journal.jsonl"


def reset(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Check what was typed, stop everything, erase what is ours, forget the attempt."""
    if untyped := not_typed(identity, root, arguments.node, arguments.cluster):
        print(f"ksnode: {untyped}", file=sys.stderr)
        return REFUSED
    context, _ = a_context(identity, root)
    try:
        context.run(["systemctl", "stop", "ksnode.service"], timeout_s=STOP_TIMEOUT_S)
        with alone(root):
            return start_over(context)
    except Busy as busy:
        return say_busy(busy)
    except (CommandError, OSError) as error:
        print(f"ksnode: {error}\nnext: mend that, then reset once more", file=sys.stderr)
        return FAILED


def not_typed(identity: Identity, root: Path, node: object, cluster: object) -> str:
    """What a human has yet to type before anything is erased; "" when it was."""
    command = f"ksnode reset --node {identity.node}"
    if node != identity.node:
        return f"this erases what the pair's first attempt made on {identity.node}\nnext: {command}"
    data_exists = any(
        latches.is_set(root, name) for name in (latches.DATA_EXISTS, latches.COMPLETE)
    )
    if data_exists and cluster != identity.pair.name:
        return (
            f"the data of pair {identity.pair.name} is on this node, and would be erased\n"
            f"next, if nobody needs it: {command} --cluster {identity.pair.name}"
        )
    return ""


def start_over(context: Context) -> int:
    """Stop, erase, forget; REFUSED when the partition holds what is neither ours nor blank."""
    identity, root, run = context.identity, context.root, context.run
    run(["systemctl", "stop", *UNITS], ok=(0, 5), timeout_s=STOP_TIMEOUT_S)  # 5: not loaded
    # 1, 10, 11: no such resource, or nothing of it in the kernel; what stays up is seen below.
    run(["drbdadm", "down", RESOURCE], ok=(0, 1, 10, 11, 127))
    side = data.look(context, attached=False)
    if not may_erase(side, data.is_marked(root, identity)):
        print(f"ksnode: not erased: {side.seen}\nnext: wipefs --no-act on it", file=sys.stderr)
        return REFUSED
    if side.content not in (Content.BLANK, Content.WIPED):
        _erase(context)
    for gone in GONE:
        if (root / gone).is_dir():
            shutil.rmtree(root / gone)
    for path in sorted((root / STATE).iterdir()):
        if path.is_file() and path.name != KEPT:
            path.unlink()
    files.sync_folder(root / STATE)
    print(f"{identity.node} is as it was installed.")
    if holds_ticket(root):  # it has no introduction, and the ticket is for a pair that lives
        print("next: install this node again, from the pair's own medium")
    else:
        print(f"next: the same on {identity.peer.name}, then on both: systemctl start ksnode")
    return OK


def may_erase(side: Side, marked: bool) -> bool:
    """Only what is this pair's, or blank, or was being erased by this very command before."""
    if side.content is Content.UNKNOWN:
        return marked
    return side.content is not Content.FOREIGN


def _erase(context: Context) -> None:
    """Mark the partition as erased by consent first, so that a power cut can't leave a riddle.

    By the kernel's name for it: udev takes the link away while it looks at the new table.
    """
    kernels = Path(os.path.realpath(data.device(context.root, context.identity)))
    number = (context.root / "sys/class/block" / kernels.name / "partition").read_text().strip()
    parent = context.run(["lsblk", "-ndo", "PKNAME", str(kernels)]).stdout.strip()
    naming = ["sfdisk", "--quiet", "--no-reread", "--part-label", f"/dev/{parent}", number]
    context.run([*naming, data.WIPED_NAME])
    context.run(["partx", "--update", "--nr", number, f"/dev/{parent}"])
    context.run(["wipefs", "--all", str(kernels)])
    with kernels.open("r+b", buffering=0) as device:
        size = device.seek(0, os.SEEK_END)
        for start in (0, max(0, size - data.END_BYTES)):
            device.seek(start)
            device.write(bytes(min(data.END_BYTES, size)))
        os.fsync(device.fileno())
    context.run(["udevadm", "settle"])
