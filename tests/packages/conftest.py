"""Fixtures of the package tests."""

from tests.media.sources import demo_source

__all__ = ["demo_source"]
