"""Every program that nodes start, with arguments and environment, from the test's side."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

HERE = Path(__file__).parent
KEPT = "/var/lib/started"  # has a file of each boot
_UNIT = f"""\
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target
[Service]
ExecStart=python3 /usr/local/lib/started_node.py {KEPT}
[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Program:
    """A program as it was started; of its environment what no earlier one had."""

    parent: list[str]
    argv: list[str]
    environment: list[str]

    @property
    def name(self) -> str:
        """What it is called, without its folder."""
        return PurePosixPath(self.argv[0]).name

    @property
    def starter(self) -> str:
        """What its parent is called: of a script, the script."""
        script = [word for word in self.parent[1:] if not word.startswith("-")]
        first = PurePosixPath(self.parent[0]).name if self.parent else ""
        is_script = first.startswith("python3") and script
        return PurePosixPath(script[0]).name if is_script else first


def library(folder: Path) -> Path:
    """What is preloaded, compiled."""
    made = folder / "started.so"
    argv = ["cc", "-shared", "-fPIC", "-O2", "-s", "-o", str(made), str(HERE / "started.c")]
    subprocess.run(argv, check=True)
    return made


def command(folder: Path) -> str:
    """What root runs on a node to have them written down from then on, at each later boot too."""
    files = {
        "/usr/local/lib/started.so": library(folder).read_bytes(),
        "/usr/local/lib/started_node.py": (HERE / "started_node.py").read_bytes(),
        "/etc/systemd/system/started.service": _UNIT.encode(),
    }
    lines = [
        f"echo {base64.b64encode(content).decode()} | base64 -d >{path}"
        for path, content in files.items()
    ]
    begun = "for n in $(seq 100); do test -S /run/started && break; sleep 0.1; done"
    lines += [f"mkdir {KEPT}", "systemctl enable -q --now started", begun, "test -S /run/started"]
    lines.append("echo /usr/local/lib/started.so >/etc/ld.so.preload")
    return " && ".join([*lines, "sync"])  # the power may be cut soon


def read(text: bytes) -> Iterator[Program]:
    """What one boot wrote down, less a last line torn when the power went.

    Raises ValueError for a datagram that was cut off.
    """
    for line in text.split(b"\n")[:-1]:
        said = json.loads(line)
        if said.pop("cut"):
            raise ValueError(f"too long to be told: {said['argv'][:3]}")
        yield Program(**said)


def showing(programs: Iterable[Program], secrets: Iterable[bytes]) -> set[tuple[str, str, str]]:
    """(program, where, who started it) of each that had a secret in arguments or environment.

    Where is the option before it, or what stands before it in the same word.
    """
    told = {secret.decode("latin-1") for secret in secrets}
    found = set()
    for program in programs:
        shown = [("", word) for word in program.environment]
        shown += list(zip(["", *program.argv], program.argv, strict=False))
        for before, word in shown:
            for secret in told:
                if secret in word:
                    where = word.partition(secret)[0] or before
                    found.add((program.name, where, program.starter))
    return found
