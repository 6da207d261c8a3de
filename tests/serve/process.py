"""ksbuild serve as a process of its own, as an administrator starts it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from builder.plan import tokens
from tests.serve.running import ROOT, Answered


@dataclass
class Process:
    """One that answers."""

    process: subprocess.Popen[str]
    port: int
    told: dict[str, Any]
    folder: Path

    @property
    def secret(self) -> str:
        """What the pair's tokens come from."""
        return (self.folder / "pair.keys/serve_tokens.key").read_text().strip()

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """One request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answered(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def tell(self, node: str, body: bytes) -> int:
        """The status of an event."""
        token = tokens.progress(self.secret, node)
        return self.ask("/events", "POST", body, {"Authorization": f"Bearer {token}"}).status

    def kill(self) -> None:
        """As a power cut does it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def a_port(folder: Path) -> int:
    """A port of loopback that nobody listens on; the same one for the same folder."""
    kept = folder / "port"
    if not kept.exists():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            kept.write_text(str(probe.getsockname()[1]))
    return int(kept.read_text())


def a_profile(folder: Path) -> Path:
    """The example's, in `folder`."""
    path = folder / "pair.toml"
    if not path.exists():
        path.write_bytes((ROOT / "profiles/example.toml").read_bytes())
    return path


@contextmanager
def serving(folder: Path, *options: str, unread: bool = False) -> Iterator[Process]:
    """ksbuild serve pair.toml --json; ended by SIGTERM unless it was before.

    With `unread` nobody is there any more for what it says.
    """
    profile, port = a_profile(folder), a_port(folder)
    command = [sys.executable, "-m", "builder", "serve", str(profile), "--json"]
    command += ["--listen", f"127.0.0.1:{port}", "--state", str(folder / "state.sqlite"), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE if unread else log, text=True,
            cwd=folder, env=environment,
        )  # fmt: skip
    try:
        told = _told(process)
        if process.stderr:
            process.stderr.close()
        yield Process(process, port, told, folder)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(120)
        if process.stdout:
            process.stdout.close()


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    text = ""
    assert process.stdout
    for line in process.stdout:
        text += line
        if line == "}\n":
            break
    told: dict[str, Any] = json.loads(text)
    return told
