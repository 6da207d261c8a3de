"""What the agent tells people: journal lines, a status file, the verdict. Never read to decide.

`cpu_s` is processor seconds of this process so far, without those of the programs it ran.
"""

import json
import time
from pathlib import Path
from typing import Any

from firstboot import files
from firstboot.node import Identity
from firstboot.progress import Progress

SCHEMA = 1  # of status.json and RESULT: raised when a key goes or changes its meaning
STATE = Path("var/lib/ksbuild")
ISSUE = Path("etc/issue.d/ksnode.issue")  # agetty shows it above the login prompt (agetty(8))


class Journal:
    """Appends events to journal.jsonl, keeps status.json current, prints for the console.

    `progress` tells the same to whoever looks from elsewhere.
    """

    def __init__(self, root: Path, identity: Identity, boot_id: str) -> None:
        self._root = root
        self._folder = root / STATE
        self._identity = identity
        self._boot_id = boot_id
        self.progress = Progress(root)
        self._steps: dict[str, dict[str, str]] = {}
        files.make_folder(self._folder)

    def __call__(self, step: str, event: str, detail: str = "") -> None:
        """Record one event; what a step said last is not said again."""
        known = self._steps.get(step, {})
        if (known.get("event"), known.get("detail")) == (event, detail):
            return
        print(f"ksnode: {step}: {event}{': ' + detail if detail else ''}", flush=True)
        self._append({"step": step, "event": event, "detail": detail})
        self._steps[step] = {"event": event, "detail": detail, "since": now()}
        said = {"schema": SCHEMA, "node": self._identity.node, "steps": self._steps}
        self._write("status.json", said)
        self._show(f"{step}: {event} {detail}")
        self.progress(step, event, detail)

    def verdict(self, verdict: str, **more: Any) -> None:
        """Write RESULT, the node's own answer to "did it work?", durable before it is said."""
        identity, boot_id = self._identity, self._boot_id
        result = {"schema": SCHEMA, "verdict": verdict, "node": identity.node, "boot_id": boot_id}
        result |= {**more, "description": identity.description}
        self._write("RESULT", {**result, "at": now(), "cpu_s": _cpu_s(), "steps": self._steps})
        print(f"ksnode: {verdict}", flush=True)
        self._show(f"{verdict} {more.get('evidence', '')}")
        for key in ("evidence", "next"):
            if key in more:
                print(f"ksnode: {key}: {more[key]}", flush=True)

    def has_verdict(self, verdict: str, **more: Any) -> bool:
        """Whether RESULT says so already, and this."""
        try:
            said = json.loads((self._folder / "RESULT").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        wanted = {"verdict": verdict, **more}
        return isinstance(said, dict) and wanted.items() <= said.items()

    def _show(self, what: str) -> None:
        """One line for whoever stands before the console; a backslash would be agetty's own."""
        line = " ".join(f"ksbuild {self._identity.node}: {what}".replace("\\", "/").split())[:200]
        path = self._root / ISSUE
        files.make_folder(path.parent)
        files.replace(path, f"{line}\n".encode(), 0o644)

    def _write(self, name: str, content: Any) -> None:
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        files.replace(self._folder / name, text.encode(), 0o644)

    def _append(self, record: dict[str, str]) -> None:
        event = {"at": now(), "boot": self._boot_id, "cpu_s": _cpu_s(), **record}
        line = json.dumps(event, sort_keys=True) + "\n"
        files.append(self._folder / "journal.jsonl", line.encode(), 0o644)


def now() -> str:
    """This moment, as every record here has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _cpu_s() -> float:
    return round(time.process_time(), 2)
