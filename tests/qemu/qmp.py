"""QEMU's own door: one command by a unix socket, and its answer (docs/interop/qmp-spec of QEMU)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class Refused(Exception):
    """QEMU answered with an error; the text is its own."""


def ask(address: Path, command: str, timeout: float = 30.0, **arguments: Any) -> Any:
    """Have QEMU carry a command out; what it returned.

    Raises Refused, or OSError when nobody answers within timeout seconds.
    """
    with socket.socket(socket.AF_UNIX) as own:
        own.settimeout(timeout)
        own.connect(str(address))
        with own.makefile("rw") as lines:
            json.loads(lines.readline())  # it greets, and wants to be asked for its commands
            _carry_out(lines, "qmp_capabilities", {})
            return _carry_out(lines, command, arguments)


def _carry_out(lines: Any, command: str, arguments: dict[str, Any]) -> Any:
    lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    lines.flush()
    while True:
        line = lines.readline()
        if not line:
            raise ConnectionError(f"{command}: QEMU ended")
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(f"{command}: {answer['error']['desc']}")
        if "return" in answer:  # and not an event
            return answer["return"]
