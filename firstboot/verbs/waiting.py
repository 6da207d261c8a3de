"""What verbs that wait for pacemaker have in common: words while they wait, and exit statuses."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Callable

from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.verbs.converging import Busy, say_busy

POLL_S = 3.0
LOOK = "crm_mon -1rf"


class NotYet(Exception):
    """A part took too long; what is missing, and the next command."""


def until(
    look: Callable[[], Sequence[str]],
    most_s: float,
    sleep: Callable[[float], None],
    way_out: str = LOOK,
) -> None:
    """Look until nothing is missing; say what is. Raises NotYet after `most_s` seconds."""
    left_s, told = most_s, ""
    while missing := look():
        text = "; ".join(missing)
        if left_s <= 0:
            raise NotYet(f"{text}\nnext: {way_out}")
        if text != told:
            say(f"waiting: {text}")
        told = text
        sleep(POLL_S)
        left_s -= POLL_S


def say(text: str) -> None:
    """One line, at once, for whoever typed it."""
    print(f"ksnode: {text}", flush=True)


def outcome(do: Callable[[], None], way_on: str = "") -> int:
    """Do it; the exit status for what came of it, with its words on standard error.

    `way_on` is the next command after a failure, where the failure does not name one itself.
    """
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    try:
        with hangup_as_interrupt():
            do()
    except Busy as busy:
        return say_busy(busy)
    except Refused as refusal:
        print(f"ksnode: {refusal.evidence}\nnext: {refusal.way_out}", file=sys.stderr)
        return REFUSED
    except (NotYet, CommandError, OSError) as error:
        print(f"ksnode: {error}" + (f"\nnext: {way_on}" if way_on else ""), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("ksnode: stopped by hand", file=sys.stderr)
        return FAILED
    return OK


@contextlib.contextmanager
def hangup_as_interrupt() -> Iterator[None]:
    """A session that ends is a Ctrl-C: what was asked of others is taken back."""
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
