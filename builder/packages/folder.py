"""Read a repository in a folder."""

from pathlib import Path
from typing import BinaryIO

from builder.packages.errors import RepositoryError
from builder.packages.metadata import read_repository
from builder.packages.model import Repository


def read_folder(path: Path, *, name: str = "") -> Repository:
    """Read the repository in `path`, called after the folder unless `name` is given.

    Raises:
        RepositoryError: it is none, or is damaged.
    """

    def opener(inner: str) -> BinaryIO:
        try:
            return (path / inner).open("rb")
        except OSError as error:
            raise RepositoryError(
                f"{path / inner}: {error.strerror}", f"make the repository: createrepo_c {path}"
            ) from error

    return read_repository(name or path.name, str(path), opener)
