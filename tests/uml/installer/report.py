"""What the installer tells the host: one RESULT.json, and logs beside it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path


class InstallationError(Exception):
    """The installation cannot go on; script_tail holds a failed script's last lines."""

    def __init__(self, reason: str, script_tail: str = "") -> None:
        super().__init__(reason)
        self.script_tail = script_tail


@dataclass
class Report:
    """Collected as the work goes; written once, at the end."""

    verdict: str = "FAILED"
    reason: str = "the installer did not finish"
    script_tail: str = ""
    ending: str = ""
    notes: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and show it on the console."""
        print(f"stand-in: {name}", flush=True)
        begin = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = round(time.monotonic() - begin, 2)

    def fail(self, reason: str, script_tail: str = "") -> None:
        """Record why nothing came of it."""
        self.verdict, self.reason, self.script_tail = "FAILED", reason, script_tail

    def write(self, out: Path) -> None:
        """Leave the verdict in out; the rename makes it whole or absent."""
        part = out / "RESULT.part"
        part.write_text(json.dumps(asdict(self), indent=1))
        part.rename(out / "RESULT.json")


def keep_log(source: Path, out: Path, name: str) -> None:
    """Copy a script's log to the host under name."""
    if source.exists():
        shutil.copyfile(source, out / name)
