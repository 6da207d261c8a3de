"""Sectors: the article's arithmetic and today's. What the shell in %pre does: test_pre.py."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.plan.disk import GIB, MIB, data_start, grain, os_partitions


def test_the_articles_own_rule() -> None:
    # ceiling(start / 128) * 128; its prose has 19682411 where its table shows 79682432.
    assert -(-79682411 // 128) * 128 == 79682432
    assert all(g % 128 == 0 for g in (grain(), grain(7 * 64), grain(7 * 256)))


@pytest.mark.parametrize(
    ("stripe_kib", "sectors"), [(0, 2048), (7 * 64, 14336), (7 * 256, 14336), (768, 6144)]
)
def test_grain(stripe_kib: int, sectors: int) -> None:
    assert grain(stripe_kib) == sectors


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
