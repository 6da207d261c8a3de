"""Measure the finished pair once: locks, streams and small writes, on one node and on both.

Figures are reported, never judged; only a lock that does not hold on both nodes is refused. The
first node leads: what it calls `ready` names one attempt, and the second answers to that name
alone, so that nothing of an attempt that was cut off is taken for part of the next.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Callable, NoReturn

from firstboot import facts, files
from firstboot.engine import Refused, Step
from firstboot.journal import STATE
from firstboot.node import BOND, FILE_SYSTEM
from firstboot.steps import Context
from firstboot.steps.meet import wait_for_peer
from firstboot.verification import disk, locks, oddities, state, summary

TOPIC = "verification"
SECONDS, MOST_MIB = 5.0, 2048
SETTLE_S = 30.0  # a link's pongs come late under our own load; ten a token bring it back
ATTEMPTS = 3  # of locking together: a node that starts anew meanwhile spoils the count
REPORT, SUMMARY = STATE / "report.json", STATE / "report.txt"


class _PeerFinished(Exception):
    """The peer has the report already, as after our own agent was cut off at the very end."""


class Verification(Step):
    """Writes report.json and report.txt, the same on both nodes."""

    name = "verification"
    barrier = True

    def __init__(
        self,
        context: Context,
        *,
        seconds: float = SECONDS,
        most_mib: int = MOST_MIB,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._context = context
        self._seconds, self._most_mib, self._settle_s = seconds, most_mib, settle_s
        self._folder = context.root / context.identity.pair.gfs2.mount.lstrip("/")
        self._told: dict[str, Any] = {}
        self._remark = ""

    def remark(self) -> str:
        """What was not in effect when the pair was measured; `ksnode check` looks anew."""
        return self._remark

    def check(self) -> Sequence[str]:
        """Whether the pair was measured; a peer that lost its report is told it again."""
        try:
            report = json.loads((self._context.root / REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ["the pair was not measured yet"]
        self._remark = "; ".join(
            f"{name}: {warning.partition(oddities.NEXT)[0]}"
            for name, of in sorted(report.items())
            for warning in of["state"].get("warnings", ())
        )
        self._tell(report=report)
        return ()

    def apply(self) -> None:
        """Measure alone, one node after the other, then both at once; then write the reports."""
        pair, me = self._context.identity.pair, self._context.identity.node
        try:
            self._stop_if_reported()  # a pair in production is not measured again
            report = self._lead() if self._context.identity.first else self._follow()
        except _PeerFinished:
            report = self._heard("report")
        if not isinstance(report, dict) or set(report) != {node.name for node in pair.nodes}:
            raise Refused(f"{me} and its peer do not agree on what they measured", "ksnode run")
        text = json.dumps(report, indent=2, sort_keys=True) + "\n"
        files.make_folder(self._context.root / STATE)
        files.replace(self._context.root / SUMMARY, summary.text(pair, report).encode(), 0o644)
        files.replace(self._context.root / REPORT, text.encode(), 0o644)
        self._tell(report=report)

    def _lead(self) -> dict[str, Any]:
        peer = self._context.identity.peer.name
        self._tell(alone=self._measure("alone"))
        self._wait("measured alone", lambda: self._heard("alone"))
        for _ in range(ATTEMPTS):
            name = secrets.token_hex(8)
            locks.prepare(self._ring())
            self._tell(ready=name)
            self._wait("is ready to lock as well", partial(self._goes, name))
            mine = self._together()
            self._wait("has locked as well", partial(self._peer_locked, name))
            theirs = {k: v for k, v in self._heard("both").items() if k != "attempt"}
            if locks.counted(self._ring()) == mine["locks"] + int(theirs["locks"]):
                self._ring().unlink()
                results = {"both": mine, **self._alone_and_state()}
                told = {key: self._heard(key) for key in ("alone", "state")}
                return {self._context.identity.node: results, peer: {"both": theirs, **told}}
        raise Refused(
            f"two nodes counted {locks.counted(self._ring())} under locks where they took"
            f" {mine['locks']} and {theirs['locks']}: locks do not hold between them",
            "dlm_tool status; dlm_tool plocks " + FILE_SYSTEM,
        )

    def _follow(self) -> NoReturn:
        """Do as the first node asks until it has the report."""
        self._wait("measured alone", lambda: self._heard("alone"))
        self._tell(alone=self._measure("alone"))
        served = None
        while True:
            self._wait("leads", partial(self._led, served))
            served = self._heard("ready")
            self._tell(go=served)
            self._tell(both={"attempt": served, **self._together()}, **self._alone_and_state())

    def _together(self) -> dict[str, Any]:
        ports = sorted(facts.bonded(self._context.root, BOND))
        locking = locks.measure(self._ring(), self._seconds)
        before, begin = state.traffic(self._context.root, ports), time.monotonic()
        measured = self._stream("both")
        after, took = state.traffic(self._context.root, ports), time.monotonic() - begin
        cables = state.cables(before, after, took)
        return {"locks": locking.locks, "locks_s": locking.rate, "cables": cables, **measured}

    def _measure(self, name: str) -> dict[str, Any]:
        self._context.report(self.name, "waiting", f"for my own measuring, {name}")
        ring = self._folder / f".ksbuild-{self._context.identity.node}.locks"
        locks.prepare(ring)
        locking = locks.measure(ring, self._seconds)
        ring.unlink()
        return {"locks": locking.locks, "locks_s": locking.rate, **self._stream(name)}

    def _stream(self, name: str) -> dict[str, Any]:
        own = f".ksbuild-{self._context.identity.node}-{name}"
        free = facts.free_mib(self._folder)
        most = min(self._most_mib, free // 4)
        return asdict(disk.measure(self._folder, own, seconds=self._seconds, most_mib=most))

    def _alone_and_state(self) -> dict[str, Any]:
        seen = self._settled()
        seen["warnings"] = oddities.warnings(self._context.identity, seen)
        return {"alone": self._told["alone"], "state": seen}

    def _settled(self) -> dict[str, Any]:
        """What is in effect once both links are up again, or when it has been long enough."""
        context, until = self._context, time.monotonic() + self._settle_s
        while True:
            seen = state.seen(context.identity, context.root, context.run)
            if all(map(seen["links"].get, oddities.LINKS)) or time.monotonic() >= until:
                return seen
            time.sleep(min(1.0, self._settle_s / 10))

    def _ring(self) -> Path:
        return self._folder / ".ksbuild-both.locks"

    def _goes(self, name: str) -> bool:
        return bool(self._heard("go") == name)

    def _led(self, served: Any) -> bool:
        return self._heard("ready") not in (None, served)

    def _peer_locked(self, name: str) -> bool:
        both = self._heard("both")
        return isinstance(both, dict) and both.get("attempt") == name

    def _tell(self, **more: Any) -> None:
        self._told.update(more)
        self._context.meeting.tell(TOPIC, dict(self._told))

    def _heard(self, key: str) -> Any:
        told = self._context.meeting.heard(TOPIC)
        return told.get(key) if isinstance(told, dict) else None

    def _wait(self, what: str, condition: Callable[[], Any]) -> None:
        peer = self._context.identity.peer.name
        self._context.report(self.name, "waiting", f"until {peer} {what}")
        wait_for_peer(self._context, self.name, lambda: bool(self._heard("report") or condition()))
        self._stop_if_reported()

    def _stop_if_reported(self) -> None:
        if self._heard("report"):
            raise _PeerFinished
