"""A configuration file as a value: what the renderer makes and files.py writes."""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class ConfigFile:
    """A file on a node: absolute path, whole text, permission bits; owner is root.

    `secrets` names the secrets whose placeholder() stands in the text; files.py alone puts them in,
    while writing.
    """

    path: PurePosixPath
    text: str
    mode: int = 0o644
    secrets: tuple[str, ...] = ()


def placeholder(secret: str) -> str:
    """What stands for a secret in a rendered text, and in every preview of it."""
    return f"<secret {secret}>"
