"""What a pair takes of the host's memory: its machines' own, and its disks where they lie in it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.uml.pair import TestPair

MIB = 1 << 20


def used_mib(pair: TestPair) -> float:
    """MiB of all machines' processes, shared pages counted once (PSS), and of disks in /dev/shm."""
    groups = {s.outlet.machine.pid for s in pair.servers if s.outlet.machines}
    total = sum(_pss(folder) for folder in Path("/proc").glob("[0-9]*") if _group(folder) in groups)
    if pair.scratch.is_relative_to("/dev/shm"):
        total += sum(disk.stat().st_blocks * 512 for disk in pair.scratch.iterdir())
    return total / MIB


def _group(process: Path) -> int:
    with suppress(OSError):  # it has ended meanwhile
        return int((process / "stat").read_text().rpartition(")")[2].split()[2])
    return 0


def _pss(process: Path) -> int:
    with suppress(OSError):
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
