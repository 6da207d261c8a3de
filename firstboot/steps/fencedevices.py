"""Every fence device started and watched by pacemaker, on the node that would use it."""

import time
from collections.abc import Sequence
from typing import Callable

from firstboot import latches, pacemaker
from firstboot.engine import Step
from firstboot.pacemaker import Cluster
from firstboot.render import fencedevice
from firstboot.render.fencedevice import Device
from firstboot.steps import Context
from firstboot.steps.cluster import wait

WATCHED_S = 300  # multiplied by the pair's timeout_factor
CLEAN_EVERY = 5  # looks; of two clean-ups within a second one got lost (pacemaker 2.1.5)


class FenceDevices(Step):
    """Nothing that could lose data runs before this is so."""

    name = "fence-devices"

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep
        self._looks = 0

    def check(self) -> Sequence[str]:
        """Devices that are not started or not watched; of a complete pair only this node's own."""
        state = pacemaker.status(self._context.run)
        if state is None:
            return ["not known while pacemaker does not answer"]
        faults = [text for device in self._devices() if (text := self._fault(device, state))]
        return [*faults, *self._failures(state), "next: crm_mon -1rf"] if faults else []

    def apply(self) -> None:
        """Wait until all are; the first node has pacemaker try again what failed to start."""
        if not latches.is_set(self._context.root, latches.COMPLETE):
            wait(self._context, self.name, self._look, WATCHED_S, self._sleep)

    def _look(self) -> Sequence[str]:
        missing = self.check()
        state = pacemaker.status(self._context.run) if missing else None
        self._looks += 1
        if state is not None and self._context.identity.first:
            stopped = [d for d in self._devices() if not state.runs(d.id, self._guard(d))]
            if stopped and self._looks % CLEAN_EVERY == 0:
                which = self._looks // CLEAN_EVERY % len(stopped)
                pacemaker.clean_up(self._context.run, stopped[which].id)
        return missing

    def _devices(self) -> list[Device]:
        devices = fencedevice.devices(self._context.identity.pair)
        if latches.is_set(self._context.root, latches.COMPLETE):
            return [d for d in devices if self._guard(d) == self._context.identity.node]
        return list(devices)

    def _guard(self, device: Device) -> str:
        """The node that uses the device."""
        return self._context.identity.pair.peer_of(device.target).name

    def _fault(self, device: Device, state: Cluster) -> str:
        guard = self._guard(device)
        if not state.runs(device.id, guard):
            return f"{device.id} is not started on {guard}"
        watched = (device.id, guard) in state.watched
        return "" if watched else f"{device.id} is not watched on {guard}"

    def _failures(self, state: Cluster) -> list[str]:
        return [text for text in state.failures if text.startswith("ks-fence-")]
