"""The shared file system mounted on both nodes, and the gate set for the boots to come."""

import time
from collections.abc import Sequence
from typing import Callable, Optional

from firstboot import drbd, latches, mount, pacemaker
from firstboot.engine import Step, StepFailed
from firstboot.pacemaker import Cluster
from firstboot.render import cib, systemd
from firstboot.steps import Context
from firstboot.steps.cluster import LOOK, POLL_S

MOUNTED_S = 600  # multiplied by the pair's timeout_factor; a sync does not count
CLEAN_EVERY = 10  # looks
WANTS = "etc/systemd/system/multi-user.target.wants"


class Mounted(Step):
    """The first node releases what pacemaker holds back; each waits for its own mount.

    pacemaker promotes DRBD, and so mounts, only where the node's own disk is UpToDate: a node that
    is still receiving its data waits, however long that takes.
    """

    name = "mounted"
    barrier = True

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep

    def check(self) -> Sequence[str]:
        """Whether it is mounted here as planned, and whether the gate is enabled."""
        faults = self._faults()
        if not (self._context.root / WANTS / systemd.GATE).is_symlink():
            faults.append(f"{systemd.GATE} is not enabled")
        return faults

    def apply(self) -> None:
        """Enable the gate, which acts on complete nodes only; release the clones; wait."""
        context = self._context
        context.run(["systemctl", "enable", systemd.GATE])
        if latches.is_set(context.root, latches.COMPLETE):
            return  # whoever stopped it meant it, or the gate waits
        left_s: float = MOUNTED_S * context.identity.pair.cluster.timeout_factor
        looks = 0
        while faults := self._faults():
            looks += 1
            state = pacemaker.status(context.run)
            if state is not None and context.identity.first:
                self._release(state, retry=looks % CLEAN_EVERY == 0)
            status = self._drbd()
            syncing = status is not None and status.percent is not None
            if left_s <= 0 and not syncing:
                raise StepFailed(self.name, [*faults, *self._seen(state, status), LOOK])
            told = "; ".join([*faults, *self._seen(state, status)])
            context.report(self.name, "waiting", told)
            self._sleep(POLL_S)
            left_s -= 0.0 if syncing else POLL_S

    def _release(self, state: Cluster, *, retry: bool) -> None:
        for clone in cib.CLONES:
            if clone in state.stopped:
                pacemaker.release(self._context.run, clone)
        failed = [
            clone
            for clone, primitive in cib.CLONES.items()
            if any(text.startswith(f"{primitive}_") for text in state.failures)
        ]
        if retry and failed:
            pacemaker.clean_up(self._context.run, failed[0])

    def _faults(self) -> list[str]:
        place = self._context.identity.pair.gfs2.mount
        return mount.faults(mount.table(self._context.root), place)

    def _drbd(self) -> Optional[drbd.Status]:
        context = self._context
        drbd9 = context.identity.pair.has("drbd9")
        return drbd.status(context.run, context.root, drbd9=drbd9)

    def _seen(self, state: Optional[Cluster], status: Optional[drbd.Status]) -> list[str]:
        seen = [f"DRBD is {status or 'down'}"]
        if state is None:
            return [*seen, "pacemaker does not answer"]
        node = self._context.identity.node
        if not state.runs(cib.DRBD, node, "Promoted"):
            seen.append(f"{cib.DRBD} is not promoted")
        if not state.runs(cib.DLM, node):
            seen.append(f"{cib.DLM} is not started")
        return [*seen, *state.failures]
