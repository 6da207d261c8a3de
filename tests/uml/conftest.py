"""Fixtures of the machine tests."""

import pytest

from tests.media.sources import demo_source, el9_iso
from tests.uml.images import Images, prepare

__all__ = ["demo_source", "el9_iso", "images"]


@pytest.fixture(scope="session")
def images() -> Images:
    """Debian's root file system and the stand-in installer, made once and kept."""
    return prepare()
