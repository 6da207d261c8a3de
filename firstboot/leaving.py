"""A node that is to leave its cluster in an orderly way: what becomes of its guests. Pure.

Guests are whatever pacemaker runs that is not the pair's own (`ks-`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from firstboot.drbd import UP_TO_DATE, Status
from firstboot.node import Identity, Pair
from firstboot.pacemaker import Cluster
from firstboot.render import cib

OURS, DEVICE = "ks-", "ks-fence-"


@dataclass(frozen=True)
class Plan:
    """What leaving does: a line each for people; `losses` are what a human has to have wanted."""

    steps: tuple[str, ...]
    losses: tuple[str, ...] = ()


def guests(state: Cluster, nodes: Iterable[str]) -> list[str]:
    """The resources on these nodes that are not the pair's own."""
    found = {r for r, node, _ in state.active if node in nodes and not r.startswith(OURS)}
    return sorted(found)


def left(state: Optional[Cluster], nodes: Sequence[str]) -> list[str]:
    """What these nodes still run, fence devices aside, in words."""
    if state is None:
        return ["the cluster does not answer"]
    found = {(r, node) for r, node, _ in state.active if node in nodes and r[:9] != DEVICE}
    return [f"{resource} is still on {node}" for resource, node in sorted(found)]


def unfit(state: Optional[Cluster], pair: Pair) -> list[str]:
    """What keeps the pair from being whole: both online, and mounted on both."""
    if state is None or not state.quorate:
        return ["the cluster does not answer, or has no quorum"]
    found = [f"{name} is not clean" for name in sorted(state.unclean)]
    for node in pair.nodes:
        if node.name not in state.online:
            found.append(f"{node.name} is not online")
        elif not state.runs(cib.MOUNT, node.name):
            found.append(f"{cib.MOUNT} is not started on {node.name}")
    return found


def frozen(state: Cluster) -> list[str]:
    """Why pacemaker could not stop anything now."""
    if state.unclean:
        return [f"{name} is to be fenced first" for name in sorted(state.unclean)]
    return [] if state.quorate else ["the cluster has no quorum"]


def alone(identity: Identity, state: Optional[Cluster], replication: Optional[Status]) -> Plan:
    """This node leaves and the other stays: its guests move there if that can take them."""
    me, peer = identity.node, identity.peer.name
    if state is None:
        return Plan((f"no cluster runs on {me}: nothing has to be moved",))
    mine = guests(state, [me])
    what = ", ".join(mine) or "no guest"
    unable = _unable(state, peer)
    if not unable:
        return Plan((f"{what} {_verb(mine, 'move')} to {peer}, live where a guest can",))
    stop = f"{what} {_verb(mine, 'stop')}: {unable}"
    losses: tuple[str, ...] = ()
    if peer in state.online and replication and _ahead(replication):
        losses = (
            f"{peer}'s data is {replication.peer_disk} ({replication}): without {me} nobody"
            f" has all of it, and {peer} can't mount until {me} is back",
        )
    return Plan((stop,), losses)


def together(identity: Identity, state: Cluster) -> Plan:
    """Both leave: every guest stops once, where it is."""
    nodes = [node.name for node in identity.pair.nodes]
    found = guests(state, nodes)
    return Plan((f"{', '.join(found) or 'no guest'} {_verb(found, 'stop')}, none is moved",))


def _ahead(replication: Status) -> bool:
    return replication.disk == UP_TO_DATE != replication.peer_disk


def _unable(state: Cluster, peer: str) -> str:
    if peer not in state.online:
        return f"{peer} is not online"
    if peer in state.standby:
        return f"{peer} is in standby"
    return "" if state.runs(cib.MOUNT, peer) else f"{cib.MOUNT} is not started on {peer}"


def _verb(subjects: Sequence[str], verb: str) -> str:
    return verb if len(subjects) > 1 else f"{verb}s"
