"""A local repository that goes onto the medium, for an installation without any network."""

import hashlib
from pathlib import Path
from typing import BinaryIO

from builder.packages.errors import RepositoryError
from builder.packages.metadata import Metadata, safe_path
from builder.packages.primary import PackageReader

FOLDER = "extras"
_SHOWN = 5


def extra_packages(folder: Path) -> dict[str, Path]:
    """Map "extras/..." on the medium to the repository's files, packages and repodata.

    Only what repodata lists goes along.

    Raises:
        RepositoryError: no repository, damaged, or repodata and packages do not match; names
            what is missing, altered or not listed.
        OSError: a file cannot be read.
    """

    def opener(inner: str) -> BinaryIO:
        try:
            return (folder / inner).open("rb")
        except OSError as error:
            raise RepositoryError(f"{folder / inner}: {error.strerror}", hint) from error

    hint = f"createrepo_c {folder}"
    metadata = Metadata(folder.name, str(folder), opener)
    paths = ["repodata/repomd.xml"]
    for entry in metadata.entries.values():
        # Read to its end, so that its checksum is compared.
        for _ in metadata.chunks(entry):
            pass
        paths.append(entry.path)
    reader = PackageReader(folder.name, {})
    faults = []
    for element in metadata.elements("primary") if "primary" in metadata.entries else ():
        package = reader.package(element)
        path = safe_path(package.location)
        if fault := _fault(folder / path, package.size, package.checksum) if path else "outside":
            faults.append(f"{package.location} is {fault}")
        paths.append(path)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.rpm")}
    faults += [f"{path} is not listed" for path in sorted(there - set(paths))]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        metadata.fail(f"repodata is stale: {'; '.join(faults[:_SHOWN])}{more}", hint)
    return {f"{FOLDER}/{path}": folder / path for path in sorted(paths)}


def _fault(path: Path, size: int, checksum: tuple[str, str]) -> str:
    if not path.is_file():
        return "missing"
    if path.stat().st_size != size:
        return f"of {path.stat().st_size} bytes instead of {size}"
    kind, expected = checksum
    if kind not in ("sha256", "sha384", "sha512"):
        return f"listed with a checksum of type {kind!r}, which proves nothing"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    return "" if found == expected else "altered"
