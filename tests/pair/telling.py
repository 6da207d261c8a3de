"""Nodes (pacemakers.py) with the agent's own alert program, and somebody who listens.

Run as a program it is the step of a node that makes them able to tell, with the agent's umask.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder.plan.agent import archive
from builder.resources import agent_sources
from firstboot import files, teller
from firstboot.node import Identity
from firstboot.render import alerts
from firstboot.whom import Alerts
from tests.firstboot.conftest import an_identity
from tests.firstboot.listening import MAIL_PORT, WEB_PORT
from tests.pair.pacemakers import NAMES, Nodes

LISTENER = "10.9.9.1"
URL = f"http://{LISTENER}:{WEB_PORT}/hook/t0ken"
HOOK = "/etc/webhook"
BEFORE = """mkdir -p FOLDER/over
mount -t tmpfs -o mode=0755 none FOLDER/over
for at in etc usr/lib usr/local; do
    mkdir -p FOLDER/over/$at/new FOLDER/over/$at/work
    mount -t overlay none /$at \\
        -o lowerdir=/$at,upperdir=FOLDER/over/$at/new,workdir=FOLDER/over/$at/work
done
install -d -m 0755 /usr/lib/ksbuild /etc/ksbuild
install -m 0755 FOLDER/../firstboot.pyz /usr/lib/ksbuild
"""


def patient(sources: dict[str, bytes]) -> dict[str, bytes]:
    """The agent, with time enough for a crowded machine: what is tried once may not be late."""
    for name, usual in (
        ("firstboot/alerting.py", b"TIMEOUT_S, PATIENCE_S = 3.0, 10.0"),
        ("firstboot/progress.py", b"TIMEOUT_S, AGAIN_S, PAUSE_S = 3.0, "),
    ):
        assert usual in sources[name]
        sources[name] = sources[name].replace(usual, usual.replace(b" 3.0, 10.0", b" 25.0, 28.0"))
        sources[name] = sources[name].replace(b"PAUSE_S = 3.0, ", b"PAUSE_S = 25.0, ")
    return sources


class Telling(Nodes):
    """Both nodes tell a listener on the first one by mail and webhook."""

    before = BEFORE

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._heard = folder / "heard"
        self._listener: subprocess.Popen[str] | None = None
        (folder / "firstboot.pyz").write_bytes(archive(patient(agent_sources())))

    def __enter__(self) -> Telling:
        """Start them, without anybody who listens yet."""
        super().__enter__()
        return self

    def lose(self, name: str) -> None:
        """That node's corosync dies; its network stays."""
        self.on(name, "sh", "-c", f"kill -KILL $(cat {self._folder}/{name}/corosync.pid)")

    def listen(self) -> None:
        """From now on somebody listens, and both nodes know whom to tell."""
        self._heard.touch()
        listener = [sys.executable, "-m", "tests.firstboot.listening", LISTENER, str(self._heard)]
        self._listener = self.start(NAMES[0], *listener)
        for name in NAMES:
            self.on(name, sys.executable, "-m", "tests.pair.telling", name)

    def __exit__(self, *said: object) -> None:
        """Whoever listens ends with its node."""
        super().__exit__(*said)
        if self._listener is not None:
            self._listener.communicate(timeout=60)

    def heard(self) -> list[tuple[Any, ...]]:
        """What came, in order: (sender, recipients, message) or (path, headers, body)."""
        return [ast.literal_eval(line) for line in self._heard.read_text().splitlines()]


def told_by(name: str) -> Identity:
    """The node with somebody to tell."""
    whom = Alerts(("ada@example.org",), "pair@example.org", LISTENER, MAIL_PORT, HOOK)
    identity = an_identity(name, "debian12-lab")
    return replace(identity, pair=replace(identity.pair, alerts=whom))


def main(name: str) -> None:
    """What the step "host" does for it on that node."""
    os.umask(0o077)
    root, identity = Path("/"), told_by(name)
    Path(HOOK).write_text(f"{URL}\n")
    files.write(root, alerts.render(identity))
    teller.provide(identity, root)
    assert teller.missing(identity, root) == []


if __name__ == "__main__":
    main(sys.argv[1])
