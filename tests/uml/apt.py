"""This machine's own way to Debian's packages, so that no address stands in the repository."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

SUITE = "bookworm"
_SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
_ONE_LINE = re.compile(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)")


def machine_sources() -> str:
    """Sources of SUITE on this machine as deb822 text; "" lets mmdebstrap use its default."""
    folder = Path("/etc/apt")
    stanzas: list[str] = []
    for path in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))):
        if path.exists():
            stanzas += one_line_stanzas(path.read_text().splitlines())
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        stanzas += deb822_stanzas(path.read_text())
    return "\n".join(stanzas)


def one_line_stanzas(lines: Iterable[str]) -> Iterator[str]:
    """Yield the one-line entries of SUITE's main component as deb822 stanzas."""
    for line in lines:
        match = _ONE_LINE.fullmatch(line.split("#")[0].strip())
        if match and match[3] in _SUITES and "main" in match[4].split():
            signed = re.search(r"signed-by=(\S+)", match[1] or "")
            key = f"Signed-By: {signed[1]}\n" if signed else ""
            yield f"Types: deb\nURIs: {match[2]}\nSuites: {match[3]}\nComponents: main\n{key}"


def deb822_stanzas(text: str) -> Iterator[str]:
    """Yield the stanzas that serve SUITE's main component, cut down to just that."""
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if line and not line.startswith("#")]
        fields = dict(re.findall(r"^([\w-]+):\s*(.*)$", "\n".join(lines), re.MULTILINE))
        suites = [name for name in fields.get("Suites", "").split() if name in _SUITES]
        usable = "deb" in fields.get("Types", "").split() and fields.get("Enabled") != "no"
        if not (usable and suites and "main" in fields.get("Components", "").split()):
            continue
        fields |= {"Types": "deb", "Suites": " ".join(suites), "Components": "main"}
        yield "".join(f"{key}: {value}\n" for key, value in fields.items())


def machine_options() -> str:
    """This machine's Acquire:: options (proxies, checks) in apt's own syntax."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    return "".join(f"{line}\n" for line in dump.stdout.splitlines() if line.startswith("Acquire::"))
