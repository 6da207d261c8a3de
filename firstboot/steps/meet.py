"""Meet the peer over the bond: mutual TLS, the same pair, the same plan."""

import random
import time
from collections.abc import Sequence
from typing import Callable

from firstboot import latches
from firstboot.engine import Refused, Step
from firstboot.rendezvous.session import NotMet
from firstboot.steps import Context

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0


class Rendezvous(Step):
    """Waits for the peer without a deadline; a peer with another plan is refused, never obeyed."""

    name = "rendezvous"

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
        """Answer the peer and ask it, until each knows that the other agrees."""
        meeting = self._context.meeting
        meeting.start()
        wait = FIRST_WAIT_S
        while not meeting.passed(self.name):
            try:
                state = meeting.ask()
            except NotMet as why:
                self._context.report(self.name, "waiting", str(why))
                wait = min(wait * 1.5, LONGEST_WAIT_S)
            else:
                self._compare(state.differences)
                meeting.reach(self.name)
                wait = FIRST_WAIT_S
            self._sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret

    def _compare(self, differences: Sequence[str]) -> None:
        if differences:
            raise Refused(
                f"{self._context.identity.peer.name} works on another plan:"
                f" {', '.join(differences)}",
                "install the node that is out of date again, from a medium of the current profile",
            )
