"""A node's way from the boot loader to `complete`: what was heard, as a person reads it. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from firstboot.sequence import SEQUENCE

State = Literal["ahead", "running", "waiting", "done", "absent", "refused", "failed"]
WORDS: dict[State, str] = {
    "ahead": "to come",
    "running": "running",
    "waiting": "waiting",
    "done": "done",
    "absent": "not on this platform",
    "refused": "refused",
    "failed": "failed",
}
_STATES: dict[str, State] = {
    "started": "running",
    "missing": "running",
    "waiting": "waiting",
    "ok": "done",
    "done": "done",
    "complete": "done",
    "absent": "absent",
    "refused": "refused",
    "failed": "failed",
}
_INSTALLATION = {
    "installer": "Installer started",
    "kickstart": "Kickstart",
    "disk": "Disk",
    "packages": "Packages",
    "installed": "Installed",
    "first-boot": "First boot",
}
# A step's name says enough, except where the page is to say more.
_STEPS = {
    "preflight": "Server as planned",
    "firewall": "Firewall",
    "uplink": "Local network",
    "host": "Host settings",
    "cabling": "Crossover cables found",
    "crossover": "Crossover bond",
    "rendezvous": "Meeting the peer",
    "secrets": "Long-term secrets",
    "fencing": "Fencing proven",
    "replication": "Data replicated (sync)",
    "file-system": "Shared file system made",
    "cluster": "Cluster",
    "fence-devices": "Fence devices in the cluster",
    "mounted": "Mounted on both",
    "memory": "Memory shared (KSM)",
    "guests": "Ready for guests",
    "verification": "Measured",
}
# Only a complete node says the last ones: it is changed and renewed by a human's word, tells what
# befalls the pair (firstboot/alerting.py) and answers its peer (_stay).
_LAST = {
    "report": "Report",
    "result": "Complete",
    "apply": "Another plan",
    "update": "Packages renewed",
    "alerts": "Events since",
    "answering": "Answering its peer",
}
TITLES: dict[str, str] = {
    **_INSTALLATION,
    **{step.name: _STEPS.get(step.name, step.name) for step in SEQUENCE},
    **_LAST,
}
NAMES = tuple(TITLES)
_SELDOM = ("apply", "update")  # shown once they were heard of
_NEXT = re.compile(r"(?:; next: |\n?\bNext: )", re.DOTALL)
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?) ?%")


@dataclass(frozen=True, slots=True)
class Said:
    """What was heard of a stage last; `began` and `since` are seconds since 1970."""

    event: str
    detail: str
    began: float
    since: float


@dataclass(frozen=True, slots=True)
class Row:
    """One stage of one node. `evidence` and `then` (the next command) only where it stopped."""

    name: str
    title: str
    state: State
    detail: str = ""
    evidence: str = ""
    then: str = ""
    began: float | None = None
    since: float | None = None
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """All stages of one node, in order."""

    node: str
    rows: tuple[Row, ...]

    @property
    def complete(self) -> bool:
        """Whether the node itself says so."""
        return any(row.name == "result" and row.state == "done" for row in self.rows)

    @property
    def stopped(self) -> tuple[Row, ...]:
        """What was refused or has failed."""
        return tuple(row for row in self.rows if row.state in ("refused", "failed"))

    @property
    def now(self) -> Row | None:
        """Where the node is: the furthest stage that was heard of; None before the first."""
        return next((row for row in reversed(self.rows) if row.state != "ahead"), None)

    @property
    def passed(self) -> int:
        """How many stages lie behind it."""
        return sum(row.state in ("done", "absent") for row in self.rows)

    @property
    def heard(self) -> float | None:
        """When it was heard last."""
        return max((row.since for row in self.rows if row.since is not None), default=None)


def way(node: str, said: Mapping[str, Said]) -> Way:
    """The stages of a node. What a later stage was heard of is behind it, heard or not."""
    furthest = max((n for n, name in enumerate(NAMES) if name in said), default=-1)
    return Way(node, tuple(_rows(said, furthest)))


def _rows(said: Mapping[str, Said], furthest: int) -> Iterator[Row]:
    for number, (name, title) in enumerate(TITLES.items()):
        heard = said.get(name)
        if heard is None and name in _SELDOM:
            continue
        if heard is None:
            behind = number < furthest and name != "report"
            yield Row(name, title, "done" if behind else "ahead")
            continue
        state = _STATES[heard.event]
        if state == "running" and number < furthest and name in _INSTALLATION:
            state = "done"
        if name == "report":
            yield Row(name, title, state, heard.detail, began=heard.began, since=heard.since)
            continue
        evidence, then = split(heard.detail) if state in ("refused", "failed") else ("", "")
        detail = "" if evidence else heard.detail
        if heard.event == "missing":
            detail = f"missing: {detail}"
        share = _PERCENT.search(detail) if state in ("running", "waiting") else None
        percent = min(100.0, float(share[1])) if share else None
        yield Row(name, title, state, detail, evidence, then, heard.began, heard.since, percent)


def split(detail: str) -> tuple[str, str]:
    """Evidence and next command of a refusal, as the agent and %pre word them."""
    found = _NEXT.search(detail)
    if found is None:
        return detail or "nothing was said", ""
    return detail[: found.start()].strip(), detail[found.end() :].strip()
