"""Drills on servers that are not a pair yet. Each docstring is the drill's pass criterion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.lab.bringup import Stock
from tests.lab.progress import Tell


@dataclass(frozen=True)
class Beginning:
    """What such a drill makes its servers from; its folder does not exist yet."""

    stock: Stock
    folder: Path
    profile: Path
    tell: Tell
