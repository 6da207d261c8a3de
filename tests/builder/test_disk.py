"""Sectors: the article's arithmetic and today's. What the shell in %pre does: test_pre.py."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.plan.disk import GIB, MIB, aligned, data_start, grain, os_partitions

# "Expert command (m for help): p" of the article, after its author had moved the partitions: start
# and size in sectors. Its prose has 19682411 and 19682432 where the table shows that a 7 is meant.
ARTICLE = """
Nr AF  Hd Sec  Cyl  Hd Sec  Cyl     Start      Size ID
 1 80   1   1    0 254  63 1023        63  75489372 83
 2 00 254  63 1023 254  63 1023  75489536   4192864 82
 3 00 254  63 1023 254  63 1023  79682432 1927093108 83
"""


def test_the_articles_own_table() -> None:
    """Its rule, ceiling(start / 128) * 128, is ours with another grain."""
    rows = [line.split() for line in ARTICLE.splitlines()[2:]]
    spans = [(int(row[8]), int(row[9])) for row in rows]
    for (start, size), (following, _) in itertools.pairwise(spans):
        assert aligned(start + size, 128) == following
        assert start + size != following, "where fdisk would have put it"
    assert aligned(79682411, 128) == aligned(79682432, 128) == spans[-1][0]


def test_every_start_fits_the_article() -> None:
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
