"""Two real agents with a relay between them: rendezvous and secrets, real TLS, real openssl."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from pathlib import Path

from firstboot import commands, latches
from firstboot.engine import converge
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting
from firstboot.rendezvous.store import SHARED
from firstboot.steps import Context
from firstboot.steps.meet import Rendezvous, arrive
from firstboot.steps.secrets import Secrets
from tests.firstboot.agents import NAMES, Pair
from tests.firstboot.conftest import an_identity

ANSWERS, ASKS = 18450, 18451  # where the agents listen, and where the relay does
ENOUGH_S = 60.0
PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----\n[A-Za-z0-9+/=\n]+-----END \1-----\n")


class Relayed(Meeting):
    """A meeting whose questions go through the relay."""

    def __init__(self, identity: Identity, root: Path) -> None:
        super().__init__(identity, root, f"boot of {identity.node}", port=ANSWERS)

    def start(self) -> None:
        super().start()
        self._port = ASKS


class Agents(Pair):
    """Both agents' first two meetings with each other, and what may never be seen meanwhile."""

    def __init__(self, folder: Path, introduction: Path) -> None:
        super().__init__(folder, introduction)
        self.meetings = {name: Relayed(an_identity(name), self.roots[name]) for name in NAMES}
        self.arrived: set[str] = set()
        self.wrong: list[str] = []
        self._authorities: set[str] = set()

    def converge(self) -> None:
        """Both agents at once, until each has come through with the other."""
        threads = [threading.Thread(target=self._live, args=(name,), daemon=True) for name in NAMES]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + ENOUGH_S
        while len(self.arrived) < 2 and not self.wrong and time.monotonic() < deadline:
            time.sleep(0.01)
            self.audit()
        assert not self.wrong, self.wrong
        assert len(self.arrived) == 2, f"stuck: {self.told.events[-4:]}"

    def stop(self) -> None:
        """Both stop answering."""
        for meeting in self.meetings.values():
            meeting.stop()

    def _live(self, name: str) -> None:
        """One attempt of the agent, as `ksnode agent` makes it; no weather makes it fail."""
        context = Context(
            an_identity(name), self.roots[name], commands.run, self.told, self.meetings[name]
        )
        steps = (Rendezvous(context), Secrets(context))
        try:
            converge(
                steps, self.told, has=lambda _: True, arrive=lambda step: arrive(context, step)
            )
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            self.wrong.append(f"{name}: {error!r}")
        else:
            self.arrived.add(name)

    def audit(self) -> None:
        """One pair CA for ever, no file half, and nobody latched whose peer cannot follow."""
        for name, other in (NAMES, NAMES[::-1]):
            latched = latches.is_set(self.roots[name], latches.SECRETS_STORED)
            for path in (self.roots[name] / "etc/ksbuild").glob("[ps]*/[!.]*"):
                self._whole(path)
            ca = self.roots[name] / "etc/ksbuild/pair/ca.crt"
            if ca.exists():
                self._authorities.add(hashlib.sha256(ca.read_bytes()).hexdigest())
            if latched:
                for alike in ("pair/ca.crt", "secrets/authkey", "secrets/drbd"):
                    if self.read(name, alike) != self.read(other, alike):
                        self.wrong.append(f"{name} is latched, {other} has another {alike}")
        if len(self._authorities) > 1:
            self.wrong.append("two pair CAs")

    def _whole(self, path: Path) -> None:
        text = path.read_text()
        if path.name in SHARED:
            if not SHARED[path.name].fullmatch(text):
                self.wrong.append(f"{path} is half")
        elif path.suffix in (".crt", ".key") and not PEM.fullmatch(text):
            self.wrong.append(f"{path} is half")
