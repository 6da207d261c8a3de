"""One module per step; each has check(), which only reads, and apply()."""

from dataclasses import dataclass
from pathlib import Path

from firstboot.commands import Run
from firstboot.engine import Report
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting


@dataclass(frozen=True)
class Context:
    """All that a step may use: who we are, where `/` is, the door for programs, and the peer."""

    identity: Identity
    root: Path
    run: Run
    report: Report
    meeting: Meeting
