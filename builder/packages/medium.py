"""Read the repositories of an installation DVD."""

from functools import partial
from typing import BinaryIO

from builder.media.source import Source
from builder.packages.metadata import read_repository
from builder.packages.model import Repository

# .treeinfo of every EL9 DVD names these two variants; there are no others on it.
VARIANTS = ("BaseOS", "AppStream")


def read_source(source: Source) -> tuple[Repository, ...]:
    """Read what is on the medium: nothing from a boot ISO, two repositories from a DVD.

    The source has to stay open while they are in use.

    Raises:
        RepositoryError, SourceError: their metadata cannot be read.
    """
    return tuple(
        read_repository(
            variant, f"on the medium {source.volume_id}", partial(_open, source, variant)
        )
        for variant in VARIANTS
        if source.has(f"{variant}/repodata/repomd.xml")
    )


def _open(source: Source, variant: str, inner: str) -> BinaryIO:
    return source.stream(f"{variant}/{inner}").stream
