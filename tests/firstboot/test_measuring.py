"""Locks and small writes, measured for real on this machine; and the figures in words."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from firstboot.verification import disk, locks, summary
from tests.firstboot.conftest import a_pair


def test_locks_are_counted_by_two_processes(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    locks.prepare(ring)
    code = (
        "import sys; from pathlib import Path; from firstboot.verification import locks;"
        "print(locks.measure(Path(sys.argv[1]), 0.5).locks)"
    )
    argv = [sys.executable, "-c", code, str(ring)]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    counts = [int(process.communicate()[0]) for process in started]
    assert min(counts) > 0
    assert locks.counted(ring) == sum(counts)


def test_a_small_write_that_waits_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, slow = os.pwrite, iter([0.25])

    def pwrite(handle: int, content: bytes, offset: int) -> int:
        threading.Event().wait(next(slow, 0))
        return real(handle, content, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    measured = disk.measure(tmp_path, "x", seconds=0.5, most_mib=64)
    assert measured.small_longest_ms >= 250
    assert measured.small_p99_ms <= measured.small_longest_ms
    assert not list(tmp_path.iterdir())


def test_a_full_file_system_is_said_and_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        disk.measure(tmp_path, "x", seconds=0.2, most_mib=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 99, 0.0), ([5.0], 99, 5.0), ([float(n) for n in range(1, 101)], 99, 99.0)],
)
def test_percentile(values: "list[float]", percent: int, expected: float) -> None:
    assert disk.percentile(values, percent) == expected


def test_the_summary_says_what_was_not_told() -> None:
    of: dict[str, Any] = {
        "alone": {},
        "both": {"cables": {"eth1": {"mib_s": 101.26, "percent": 33.4}}},
        "state": {
            "mount_options": None,
            "links": {},
            "crypto": {"cipher": "", "hash": ""},
            "drbd_hmac": "",
            "ksm_saved_mib": 12.0,
            "denials": [],
            "warnings": ["one thing after another, " * 5 + "; next: look"],
        },
    }
    shown = summary.text(a_pair(), {"justinian": of, "julius": of})
    assert "not told" in shown
    assert "KSM saves 12 MiB" in shown
    assert "cable eth1: 101.3 MiB/s, 33 % of all" in shown
    assert "  WARNING: one thing after another" in shown
    assert max(map(len, shown.splitlines())) <= 80
