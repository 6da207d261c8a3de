"""What a pair takes of the host's memory: its machines' own, and its disks where they lie in it."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

from tests.uml.pair import TestPair

MIB = 1 << 20


def used_mib(pair: TestPair) -> float:
    """MiB of all machines' processes, shared pages counted once (PSS), and of disks in /dev/shm."""
    groups = {s.outlet.machine.pid for s in pair.servers if s.outlet.machines}
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        group, pid = _group(folder), int(folder.name)
        # A machine's disk thread is a process of its own in the same memory.
        if group in groups and (pid == group or not same_memory(pid, group)):
            total += _pss(folder)
    if pair.scratch.is_relative_to("/dev/shm"):
        total += sum(disk.stat().st_blocks * 512 for disk in pair.scratch.iterdir())
    return total / MIB


def same_memory(one: int, other: int) -> bool:
    """Whether two processes share one address space (kcmp(2), KCMP_VM; its number on x86_64)."""
    return bool(ctypes.CDLL(None).syscall(312, one, other, 1, 0, 0) == 0)


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
