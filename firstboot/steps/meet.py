"""Meet the peer over the bond (mutual TLS, same pair, same plan), and wait for each other."""

import random
import time
from collections.abc import Sequence
from typing import Callable

from firstboot import latches
from firstboot.commands import CommandError
from firstboot.engine import Refused, Step
from firstboot.fencing import afterwards
from firstboot.rendezvous.session import NotMet
from firstboot.steps import Context

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
# So that two nodes do not keep calling at the same moment; nothing else draws from it.
JITTER = random.Random()  # noqa: S311 - not a secret


class Rendezvous(Step):
    """Waits for the peer without a deadline; a peer with another plan is refused, never obeyed."""

    name = "rendezvous"
    barrier = True

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep

    def check(self) -> Sequence[str]:
        """Whether both nodes have seen that their plans are the same."""
        peer = self._context.identity.peer
        if latches.is_set(self._context.root, latches.COMPLETE):
            return ()  # they met in this pair's life; a complete node needs its peer no more
        if self._context.meeting.passed(self.name):
            return ()
        return [f"{peer.name} at {peer.crossover_address} was not met yet"]

    def apply(self) -> None:
        """Answer the peer and ask it, until each knows that the other agrees.

        An agent that was cut off while it rehearsed fencing may have left the peer without power.
        """
        meeting = self._context.meeting
        meeting.start()

        def together() -> bool:
            if meeting.agreed():
                meeting.reach(self.name)
            else:
                self._switch_back_on()
            return meeting.passed(self.name)

        wait_for_peer(self._context, self.name, together, sleep=self._sleep)

    def _switch_back_on(self) -> None:
        try:
            afterwards.switch_back_on(self._context)
        except CommandError as error:  # the peer may answer all the same
            self._context.report(self.name, "waiting", str(error))


def arrive(context: Context, step: Step) -> None:
    """Tell the peer that this node came through a step; at a barrier wait until it has as well.

    A complete node waits for nobody. Raises Refused when the peer works on another plan.
    """
    context.meeting.reach(step.name)
    if step.barrier and not latches.is_set(context.root, latches.COMPLETE):
        wait_for_peer(context, step.name, lambda: context.meeting.passed(step.name))


def wait_for_peer(
    context: Context,
    step: str,
    condition: Callable[[], bool],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask the peer until `condition` holds; there is no deadline, for it may be hours away.

    The condition looks at what the meeting heard. Raises Refused when the peer works on another
    plan: it is never obeyed.
    """
    wait = FIRST_WAIT_S
    while not condition():
        try:
            state = context.meeting.ask()
        except NotMet as why:
            context.report(step, "waiting", str(why))
            wait = min(wait * 1.5, LONGEST_WAIT_S)
        else:
            _compare(context, state.differences)
            wait = FIRST_WAIT_S
            if condition():
                return
            context.report(step, "waiting", f"for {context.identity.peer.name}")
        sleep(wait * JITTER.uniform(0.8, 1.2))


def _compare(context: Context, differences: Sequence[str]) -> None:
    if differences:
        raise Refused(
            f"{context.identity.peer.name} works on another plan: {', '.join(differences)}",
            "install the node that is out of date again, from a medium of the current profile",
        )
