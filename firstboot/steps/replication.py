"""DRBD between the two data partitions: created once, connected, both up to date.

The world decides anew at every start: what is on both partitions, and the latches (seed.py).
"""

import time
from collections.abc import Sequence
from typing import Any, Callable, Optional

from firstboot import data, drbd, files, latches
from firstboot.engine import Refused, Step
from firstboot.node import RESOURCE
from firstboot.render import drbd as rendered
from firstboot.seed import (
    Action,
    Content,
    Decision,
    Side,
    decide,
    side_from_json,
    side_to_json,
)
from firstboot.steps import Context
from firstboot.steps.meet import wait_for_peer

CLUSTER = "cluster"  # the step that starts it
TOPIC = "data"  # what the nodes tell each other of: their sides of the table
LOOK_AGAIN_S, LOOK_SELDOM_S = 2.0, 30.0
# What a node with data tells without asking DRBD, which is pacemaker's by then.
IN_USE = Side(Content.OURS, "in use (latch data-exists)", data_exists=True)


class Replication(Step):
    """Behind its barrier both disks are the same, Secondary, and free of foreign data."""

    name = "replication"
    barrier = True

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._files = rendered.render(context.identity)
        self._sleep = sleep
        self._last = ""

    def remark(self) -> str:
        """The resource's state, where it had to be asked."""
        return self._last

    def check(self) -> Sequence[str]:
        """Files that differ, and whether DRBD has both disks up to date.

        On a complete node, and once pacemaker runs, DRBD is the cluster's affair: also where it
        runs on the peer, and this node has its metadata.
        """
        root = self._context.root
        missing = files.differing(root, self._files)
        latched = latches.is_set(root, latches.DATA_EXISTS)
        if latched:
            self._context.meeting.tell(TOPIC, side_to_json(IN_USE))
            if latches.is_set(root, latches.COMPLETE) or self._pacemaker_runs():
                return missing
            if self._in_use():
                content = look_and_tell(self._context).content
                return missing if content is Content.OURS else [*missing, "no metadata yet"]
        status = self._status()
        self._last = "" if status is None else str(status)
        if status is None:
            missing.append(f"{RESOURCE} is not up")
        elif not status.in_sync or (status.role != drbd.SECONDARY and not latched):
            missing.append(f"{RESOURCE}: {status}")
        elif not missing and not latched:
            look_and_tell(self._context)  # apply() will not, and the peer may be asking
        return missing

    def apply(self) -> None:
        """Agree with the peer on whose data it is, make metadata, connect, wait for the sync."""
        context = self._context
        files.write(context.root, self._files)
        decision, mine, _ = consult(context, self.name, sleep=self._sleep)
        if decision.data_exists:
            latches.set_once(context.root, latches.DATA_EXISTS, f"{decision.action.value}\n")
        elif mine.started is None:
            data.begin(context, mine.content.value)
        if mine.content is not Content.OURS:
            drbd.create_metadata(context.run)
        if decision.data_exists and self._in_use():
            return  # pacemaker brings it up: only then do DRBD's handlers find it (unfence)
        drbd.bring_up(context.run)
        status = self._status()
        if decision.permit and status and status.role == drbd.PRIMARY:
            drbd.demote(context.run)  # an agent that was stopped left it so
        look_and_tell(context)
        self._until_in_sync()
        look_and_tell(context)

    def _in_use(self) -> bool:
        """Whether the peer's cluster has the data in its hands."""
        return self._context.meeting.peer_reached(CLUSTER)

    def _pacemaker_runs(self) -> bool:
        done = self._context.run(["systemctl", "is-active", "pacemaker"], ok=(0, 1, 3, 4))
        return done.stdout.strip() in ("active", "activating")

    def _until_in_sync(self) -> None:
        """Wait for the peer and for the sync; there is no deadline for either."""
        context = self._context
        while True:
            status = self._status()
            if status is not None and status.in_sync:
                return
            if status is not None and status.stands_alone:
                raise self._refused(status)
            if status is not None and status.untouched and context.identity.first:
                self._begin()
            context.report(self.name, "waiting", f"{RESOURCE}: {status or 'is not up'}")
            left_s = 0 if status is None else status.eta_s or 0
            self._sleep(min(LOOK_SELDOM_S, max(LOOK_AGAIN_S, left_s / 4)))

    def _begin(self) -> None:
        """Begin the pair's data: asked anew, and only while DRBD itself calls both untouched."""
        decision, mine, peers = consult(self._context, self.name, sleep=self._sleep)
        status = self._status()
        if decision.permit is None or status is None or not status.untouched:
            return
        if any(s.content is Content.OURS and not s.just_created for s in (mine, peers)):
            raise self._refused(status)  # data was begun here once, and no side has it whole
        if mine.just_created and peers.just_created:  # else the peer has not told so yet
            drbd9 = self._context.identity.pair.has("drbd9")
            drbd.begin_data(self._context.run, decision.permit, drbd9=drbd9)

    def _status(self) -> Optional[drbd.Status]:
        context = self._context
        return drbd.status(context.run, context.root, drbd9=context.identity.pair.has("drbd9"))

    def _refused(self, status: drbd.Status) -> Refused:
        mine, heard = look_and_tell(self._context), self._context.meeting.heard(TOPIC)
        peers = "not heard" if heard is None else side_from_json(heard).seen
        return Refused(
            f"DRBD does not go on by itself ({status}): here {mine.seen}; the peer {peers}",
            f"dmesg | grep 'drbd {RESOURCE}' on both nodes; after a split brain, on the node whose"
            f" changes may go: drbdadm connect --discard-my-data {RESOURCE}",
        )


def look_and_tell(context: Context) -> Side:
    """This node's side, told to the peer."""
    drbd9 = context.identity.pair.has("drbd9")
    attached = drbd.status(context.run, context.root, drbd9=drbd9) is not None
    side = data.look(context, attached=attached)
    context.meeting.tell(TOPIC, side_to_json(side))
    return side


def consult(
    context: Context,
    step: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Decision, Side, Side]:
    """Decide with what the peer says from now on. Raises Refused where the table stops.

    The partition is looked at again once the peer has answered, which may be days later.
    """
    first = context.identity.first
    _stop(decide(first, look_and_tell(context), None))
    before: Any = context.meeting.heard(TOPIC)

    def afresh() -> bool:
        heard = context.meeting.heard(TOPIC)
        return heard is not None and heard is not before

    wait_for_peer(context, step, afresh, sleep=sleep)
    mine, peers = look_and_tell(context), side_from_json(context.meeting.heard(TOPIC))
    decision = decide(first, mine, peers)
    _stop(decision)
    return decision, mine, peers


def _stop(decision: Decision) -> None:
    if decision.action is Action.STOP:
        raise Refused(decision.evidence, decision.way_out)
