"""The shared file system: made once in the pair's life, by the first node, Primary alone."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from firstboot import data, drbd, latches
from firstboot.commands import CommandError
from firstboot.data import Signature, lock_table
from firstboot.engine import Refused, Step
from firstboot.render.drbd import DEVICE
from firstboot.seed import SeedPermit, side_from_json, side_to_json
from firstboot.steps import Context
from firstboot.steps.meet import wait_for_peer
from firstboot.steps.replication import IN_USE, TOPIC, consult, look_and_tell

MKFS_TIMEOUT_S = 1800.0
HELD_OPEN_S = 60  # udev looks at a device that was just written, and holds it open meanwhile
JOURNALS = 2
GROUP_MIB, MOST_GROUP_MIB, GROUPS = 256, 2048, 4096
# mkfs.gfs2 writes 17 blocks at the head, the superblock in the last, after everything else and
# just before its one fsync (gfs2-utils, mkfs/main_mkfs.c); cut off before, it leaves them zero.
HEAD_BYTES = 16 * 4096


class FileSystem(Step):
    """Latch data-exists follows the file system; until it is set nothing can mount it.

    So a file system cut off half-made is made anew, by the same rule that let it begin.
    """

    name = "file-system"
    barrier = True

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep

    def check(self) -> Sequence[str]:
        """Whether this node knows that the pair has data."""
        if latches.is_set(self._context.root, latches.DATA_EXISTS):
            return ()
        return [f"there is no file system {lock_table(self._context.identity.pair)} yet"]

    def apply(self) -> None:
        """Make it, on the first node; on the second wait until it is there."""
        context, table = self._context, lock_table(self._context.identity.pair)
        if context.identity.first:
            decision, _, _ = consult(context, self.name, sleep=self._sleep)
            if decision.permit is not None:
                self._make(decision.permit)
        else:
            look_and_tell(context)
            wait_for_peer(context, self.name, self._peer_has_data, sleep=self._sleep)
        latches.set_once(context.root, latches.DATA_EXISTS, f"{table}\n")
        context.meeting.tell(TOPIC, side_to_json(IN_USE))

    def _peer_has_data(self) -> bool:
        heard = self._context.meeting.heard(TOPIC)
        return heard is not None and side_from_json(heard).data_exists

    def _make(self, permit: SeedPermit) -> None:
        context = self._context
        drbd9 = context.identity.pair.has("drbd9")
        status = drbd.status(context.run, context.root, drbd9=drbd9)
        if status is None or not status.in_sync or status.peer_role != drbd.SECONDARY:
            raise Refused(
                f"the two disks are not up to date with a Secondary peer: {status or 'not up'}",
                "the replication step goes on by itself once DRBD is connected: drbdadm status",
            )
        drbd.promote(context.run)
        try:
            make_file_system(context, permit, context.root / DEVICE.lstrip("/"))
        finally:
            self._demote()

    def _demote(self) -> None:
        for _ in range(HELD_OPEN_S - 1):
            try:
                drbd.demote(self._context.run)
            except CommandError:
                self._sleep(1.0)
            else:
                return
        drbd.demote(self._context.run)


def group_mib(size: int) -> int:
    """MiB of each resource group for so many bytes: the largest that leaves 4096 of them.

    mkfs.gfs2 takes 256 at any size; 40,000 groups of 10 TiB take eight times as long to write as
    5,000 of its largest, and to look through (mkfs.gfs2(8), -r).
    """
    mib = GROUP_MIB
    while mib < MOST_GROUP_MIB and size >> 20 >= 2 * mib * GROUPS:
        mib *= 2
    return mib


def make_file_system(context: Context, permit: SeedPermit, device: Path) -> None:
    """The only place that runs mkfs.gfs2, which with -O asks nothing: so the device is looked at.

    Refused on anything but zeros at the head, or this pair's own file system, half made.
    """
    if not isinstance(permit, SeedPermit):
        raise TypeError("a file system is made with a permit only")
    pair = context.identity.pair
    table = lock_table(pair)
    found = data.signatures(context, str(device))
    with device.open("rb") as file:
        head, size = file.read(HEAD_BYTES), file.seek(0, os.SEEK_END)
    if (set(found) - {Signature("gfs2", table)}) or (not found and head.strip(b"\0")):
        raise Refused(
            f"{device} is not empty: {', '.join(s.kind for s in found) or 'its head is not zero'}",
            f"find out what wrote to it: wipefs -n {device}; the agent makes nothing there",
        )
    options = ["-O", "-K", "-p", "lock_dlm", "-t", table]
    options += ["-j", str(JOURNALS), "-J", str(pair.gfs2.journal_mib)]
    options += ["-r", str(group_mib(size))] if group_mib(size) != GROUP_MIB else []
    context.run(["mkfs.gfs2", *options, str(device)], timeout_s=MKFS_TIMEOUT_S)
    made = data.signatures(context, str(device))
    if Signature("gfs2", table) not in made:
        raise Refused(
            f"mkfs.gfs2 succeeded, and {device} carries no {table}: {made}",
            f"wipefs -n {device}; dmesg | tail",
        )
