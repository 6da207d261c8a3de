"""What befalls a played pair beside crashes: lies, old messages, new systems, other disks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from firstboot import latches
from firstboot.rendezvous.session import NotMet
from firstboot.sequence import SEQUENCE
from tests.pair.powered import NAMES, OTHER
from tests.pair.replicated import Partition
from tests.pair.world import World

Said = dict[str, Any]
FOREIGN = ("xfs", "LVM2_member", "gfs2")


def say_again(world: World, which: int) -> None:
    """A message that was held back arrives now, after others that were said later."""
    if not world.said:
        return
    speaker, kind, said, began = world.said[which % len(world.said)]
    meeting = world.meetings.get(OTHER[speaker])
    if meeting is not None and meeting.answers:
        with contextlib.suppress(NotMet):
            meeting._heard(said, kind, began)


def install_again(world: World, name: str, disk: str = "") -> None:
    """The system anew, on the same disk or on another one, on which `disk` lies."""
    machine = world.machines[name]
    world.power_off(name, keep=True)
    with world.backstage():
        if disk:
            foreign = disk if disk in FOREIGN else ""
            machine.partition = Partition(machine.partition.path, foreign=foreign, was=disk)
            world.drbd.partitions[name] = machine.partition
        machine.install()
        machine.settle()
    world.cluster.reinstalled(name)
    world.fired[name].clear()
    world.audit.installed_again(name)
    if not any(m.partition.data for m in world.machines.values()):
        world.audit.has_data = False  # it went with the disks
    if not any(cib.loaded for cib in world.cluster.cibs.values()):
        world.cluster.loads.clear()
    world.power_on(name)


def erase(world: World, name: str) -> None:
    """blkdiscard -z, typed as the refusal says."""
    found = world.machines[name].partition
    if found.foreign:
        found.foreign, found.was = "", "blank"
        found.lay()


def shut_out(world: World) -> list[str]:
    """Nodes whose peer refuses what came with the medium: they need ksnode allow-rejoin."""
    return [
        name
        for name in NAMES
        if world.machines[OTHER[name]].latched(latches.SECRETS_STORED)
        and not _shares_the_pair(world, name)
    ]


def _shares_the_pair(world: World, name: str) -> bool:
    mine, peers = (world.machines[node].root / "etc/ksbuild/pair" for node in (name, OTHER[name]))
    if not (mine / "node.crt").exists():
        return False
    return (mine / "ca.crt").read_text() == (peers / "ca.crt").read_text()


def claims_all(said: Said) -> Said:
    """It has come through every step."""
    return {**said, "reached": sorted(step.name for step in SEQUENCE)}


def claims(**side: Any) -> Callable[[Said], Said]:
    """Its partition is like this, in a valid message."""
    told = {"content": "blank", "seen": "what it likes", "just_created": False, "uuids": []}
    told |= {"file_system": False, "started": None, "data_exists": False, **side}
    return lambda said: {**said, "told": {**said["told"], "data": told}}


def turned_round(said: Said) -> Said:
    """Every yes is a no."""
    return {**said, "told": _turn(said["told"])}


def _turn(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        return {key: _turn(inner) for key, inner in value.items()}
    return [_turn(inner) for inner in value] if isinstance(value, list) else value


def nonsense(said: Said) -> Said:
    """Every topic holds what it can't."""
    odd: list[Any] = [None, 7, "x", [], {}, {"content": 3}, {"boots": "no"}, -1.5]
    told = {topic: odd[number % len(odd)] for number, topic in enumerate(sorted(said["told"]))}
    return {**said, "told": told}


LIES: dict[str, Callable[[Said], Said]] = {
    "all reached": claims_all,
    "blank": claims(),
    "blank, all reached": lambda said: claims_all(claims()(said)),
    "has the data": claims(content="ours", uuids=["0123456789ABCDEF"], file_system=True),
    "untouched": claims(content="ours", just_created=True, started="blank"),
    "data exists": claims(data_exists=True),
    "turned round": turned_round,
    "nonsense": nonsense,
    "as it is": lambda said: json.loads(json.dumps(said)),
}
