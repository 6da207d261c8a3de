"""Fixtures of the machine tests."""

import pytest

from tests.media.sources import demo_source, el9_iso
from tests.uml.images import CLUSTER_PACKAGES, Images, prepare

__all__ = ["demo_source", "el9_iso", "images", "pair_images"]


@pytest.fixture(scope="session")
def images() -> Images:
    """Debian's root file system and the stand-in installer, made once and kept."""
    return prepare()


@pytest.fixture(scope="session")
def pair_images() -> Images:
    """The same, with all that a node of a pair runs."""
    return prepare(CLUSTER_PACKAGES)
