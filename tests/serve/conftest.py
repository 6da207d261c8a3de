"""A running server for every test that wants one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.media.sources import demo_source
from tests.serve.running import Running, running

__all__ = ["demo_source"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """It serves the example's pair."""
    with running(tmp_path) as one:
        yield one
