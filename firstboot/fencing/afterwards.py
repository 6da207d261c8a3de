"""The peer's power, and how it gets it back from an agent that was cut off after it took it."""

from firstboot import latches
from firstboot.fencing import record
from firstboot.fencing.power import Power
from firstboot.fencing.rehearsal import IDLE, OFF
from firstboot.render import fencedevice
from firstboot.steps import Context


def powers(context: Context) -> list[Power]:
    """The peer's power by level, the one that is rehearsed in front."""
    target = context.identity.peer.name
    devices = [d for d in fencedevice.devices(context.identity.pair) if d.target == target]
    levels = sorted({device.level for device in devices})
    return [
        Power(context.root, context.run, [d for d in devices if d.level == level])
        for level in levels
    ]


def open_firing(context: Context) -> bool:
    """Whether a firing of ours was begun and its end not seen."""
    proven = latches.is_set(context.root, latches.FENCING_PROVEN)
    return not proven and record.load(context.root).phase != IDLE


def switch_back_on(context: Context) -> None:
    """Before anybody waits for a peer that is off by our own hand. Raises CommandError, Refused."""
    if open_firing(context):
        power = powers(context)[0]
        if power.state() == OFF:
            power.on()
