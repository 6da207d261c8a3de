"""Where the source comes from: a file, or an address to download it from."""

import os
from pathlib import Path

from builder.cli.progress import progress


def source_path(
    source: str, sha256: str | None, checksum_file: str | None, *, verify: bool, quiet: bool
) -> Path:
    """The source as a file; one with an address is downloaded once and kept.

    A file is compared with a checksum where one is given.

    Raises SourceError when it cannot be had, or is not what its checksum says.
    """
    if "://" not in source:
        if sha256 is not None or checksum_file is not None:
            from builder.media.download import check

            check(Path(source), _cache(), sha256=sha256, checksum_file=checksum_file)
        return Path(source)
    from builder.media.download import fetch

    with progress(f"downloading {source.rsplit('/', 1)[-1]}", quiet=quiet) as tell:
        return fetch(
            source,
            _cache(),
            sha256=sha256,
            checksum_file=checksum_file,
            verify=verify,
            progress=tell,
        )


def _cache() -> Path:
    """The XDG base directory specification's place for what can be had again."""
    place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(place) / "ksbuild"
