"""What the nodes' consoles tell while a pair comes up, by node, step and second."""

from __future__ import annotations

import re
import time
from typing import Protocol

from firstboot.sequence import SEQUENCE
from tests.lab.memory import used_mib
from tests.uml.pair import Server, TestPair

EVENT = re.compile(r"ksnode: ([a-z-]+): (ok|done|absent|waiting|refused|failed)\b:?[ ]?(.*)")
COMPLETE = re.compile(r"^.*ksnode: complete\r?$", re.MULTILINE)
COME_THROUGH = ("ok", "done", "absent")
STEPS = {step.name for step in SEQUENCE}
MEMORY_EVERY_S = 10.0


class Tell(Protocol):
    """Where progress goes: a node's name, or "" for both, and what happened."""

    def __call__(self, node: str, text: str) -> None: ...


class Printed:
    """Progress as lines on standard output, each with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, node: str, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {node:10} {text}"[:160], flush=True)


class Watch:
    """Looks at the consoles again and again; `stages` has each node's seconds by step."""

    def __init__(self, pair: TestPair, tell: Tell) -> None:
        self._pair, self._tell = pair, tell
        self.began = time.monotonic()
        self.stages: dict[str, dict[str, float]] = {s.name: {} for s in pair.servers}
        self.peak_mib = 0.0
        self._told: set[tuple[str, str, str]] = set()
        self._boots = {server.name: 0 for server in pair.servers}
        self._next_memory = 0.0

    @property
    def seconds(self) -> float:
        """Since power-on."""
        return time.monotonic() - self.began

    @property
    def complete(self) -> bool:
        """Whether both nodes said so."""
        return all("complete" in of for of in self.stages.values())

    def look(self) -> None:
        """Read both consoles to their ends."""
        for server in self._pair.servers:
            text = server.outlet.console_text()
            self._see_boots(server)
            for event in EVENT.finditer(text):
                self._see(server.name, *event.groups())
            if COMPLETE.search(text) and "complete" not in self.stages[server.name]:
                self.stages[server.name]["complete"] = self.seconds
                self._tell(server.name, "complete")
        if self.seconds >= self._next_memory:
            self.peak_mib = max(self.peak_mib, used_mib(self._pair))
            self._next_memory = self.seconds + MEMORY_EVERY_S

    def _see_boots(self, server: Server) -> None:
        boots = len(server.outlet.machines)
        if boots != self._boots[server.name]:
            self._boots[server.name] = boots
            self._tell(server.name, f"has power (boot {boots})")

    def _see(self, node: str, step: str, event: str, detail: str) -> None:
        if event in COME_THROUGH:
            detail = ""
            if step in STEPS:
                self.stages[node].setdefault(step, self.seconds)
            event = "not on this platform" if event == "absent" else "ok"
        if (node, step, event + detail) not in self._told:
            self._told.add((node, step, event + detail))
            self._tell(node, f"{step}: {event} {detail}".strip())
