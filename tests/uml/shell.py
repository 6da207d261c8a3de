"""A way into the nodes for tests that look or break something; nothing is ever helped along by it.

The key is made for one run and stands in that run's copy of the profile.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.uml.lab import Lab

_OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "LogLevel=ERROR"),
)


class Complaint(subprocess.CalledProcessError):
    """A command on a node failed; its text has what the command said, too."""

    def __str__(self) -> str:
        """The last of both outputs."""
        return f"{super().__str__()}\n{self.stdout[-2000:]}{self.stderr[-2000:]}"


class Shell:
    """Root's shell on any node of the lab that has power, by its address."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._key = folder / "lab-key"
        if not self._key.exists():
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)]
            subprocess.run(argv, check=True)

    def profile(self, template: Path, target: Path) -> Path:
        """Write a copy of a profile that lets this shell in."""
        public = self._key.with_suffix(".pub").read_text().strip()
        text, count = re.subn(r'"ssh-ed25519 [^"]*"', f'"{public}"', template.read_text())
        assert count == 1, template
        target.write_text(text)
        return target

    def argv(self, address: str, command: str) -> list[str]:
        """The command that runs one on a node, for whoever goes on talking to it."""
        options = [*_OPTIONS, "-i", str(self._key)]
        return self._lab.inside("ssh", *options, f"root@{address}", command)

    def run(
        self, address: str, command: str, *, timeout: float = 60, ok: tuple[int, ...] = (0,)
    ) -> str:
        """What the command printed; Complaint when it fails."""
        done = subprocess.run(
            self.argv(address, command),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode not in ok:
            raise Complaint(done.returncode, command, done.stdout, done.stderr)
        return done.stdout
