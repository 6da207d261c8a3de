"""Fixtures of the media tests; tests elsewhere may import them from tests.media.sources."""

from tests.media.sources import demo_source, el9_iso, pungi9_iso

__all__ = ["demo_source", "el9_iso", "pungi9_iso"]
