"""A configuration file as a value: what the renderers make and `files.py` writes."""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class ConfigFile:
    """`path` is absolute on the node, `mode` its permissions."""

    path: PurePosixPath
    text: str
    mode: int = 0o644
