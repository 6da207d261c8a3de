"""Sectors: the article's arithmetic, today's, and the shell's in %pre against Python's."""

import itertools
import math
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.plan.disk import GIB, MIB, data_start, grain, os_partitions


def test_the_articles_own_rule() -> None:
    # ceiling(start / 128) * 128; its prose has 19682411 where its table shows 79682432.
    assert -(-79682411 // 128) * 128 == 79682432
    assert all(g % 128 == 0 for g in (grain(), grain(stripe_kib=7 * 64), grain(optimal_io=786432)))


@pytest.mark.parametrize(
    ("stripe_kib", "minimum_io", "optimal_io", "expected"),
    [
        (0, 0, 0, 2048),
        (0, 64 * 1024, 448 * 1024, 14336),
        (0, 256 * 1024, 1792 * 1024, 14336),
        (7 * 256, 0, 0, 14336),
        (0, 512, 33553920, 2048),  # a controller's nonsense
        (0, 0, 786432, 6144),
        (0, 512, 128 * 1024 * 1024, 2048),
    ],
)
def test_grain(stripe_kib: int, minimum_io: int, optimal_io: int, expected: int) -> None:
    assert grain(stripe_kib=stripe_kib, minimum_io=minimum_io, optimal_io=optimal_io) == expected


def test_the_system_has_36_gib_and_data_follows() -> None:
    partitions = os_partitions(36)
    assert [p.name for p in partitions] == ["biosboot", "esp", "boot", "swap", "root"]
    for before, after in itertools.pairwise(partitions):
        assert before.start + before.size == after.start
    assert all(p.start % MIB == 0 and p.size % MIB == 0 for p in partitions)
    assert partitions[-1].start + partitions[-1].size == 36 * GIB == 75497472
    assert data_start(36, 2048) == 75497472
    assert data_start(36, 14336) == 75507712


@given(st.integers(16, 512), st.integers(1, 200_000))
def test_data_starts_at_the_first_fitting_sector(os_gib: int, grain_sectors: int) -> None:
    start = data_start(os_gib, grain_sectors)
    assert start % grain_sectors == 0
    assert 0 <= start - os_gib * GIB < grain_sectors


def test_the_shell_in_pre_computes_the_same(root: Path) -> None:
    source = (root / "kickstarts/parts/disk.sh.j2").read_text()
    function = re.search(r"^lcm\(\) \{.*?^\}", source, re.DOTALL | re.MULTILINE)
    assert function
    pairs = [(2048, 896), (2048, 3072), (14336, 2048), (2048, 131072), (128, 127)]
    script = function[0] + "".join(f"\nlcm {a} {b}" for a, b in pairs)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert [int(n) for n in done.stdout.split()] == [a * b // math.gcd(a, b) for a, b in pairs]
