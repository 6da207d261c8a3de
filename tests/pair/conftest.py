"""A played pair that goes with its test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.pair.disk import scratch
from tests.pair.doors import Doors
from tests.pair.running import close
from tests.pair.world import World


@contextmanager
def a_world(doors: Doors, seed: int = 0) -> Iterator[World]:
    """Two servers, switched on."""
    folder = scratch("pair")
    try:
        world = World(folder, doors, seed)
        try:
            yield world
        finally:
            close(world)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with pytest.MonkeyPatch.context() as patch:
        found = Doors()
        found.lead(patch)
        yield found
