"""One module per step; each has check(), which only reads, and apply()."""

from dataclasses import dataclass, field
from pathlib import Path

from firstboot.commands import Run
from firstboot.engine import Report
from firstboot.hellos import Hellos
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting


@dataclass(frozen=True)
class Context:
    """All that a step may use: who we are, where `/` is, the door for programs, and the peer.

    The peer is asked in the rendezvous, and below it by hellos on every crossover cable.
    """

    identity: Identity
    root: Path
    run: Run
    report: Report
    meeting: Meeting
    hellos: Hellos = field(default_factory=Hellos)
