"""A local repository that goes onto the medium, for an installation without any network."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from builder.media.errors import MediaError, SourceError
from builder.media.local import LocalFile
from builder.packages.errors import RepositoryError
from builder.packages.folder import read_folder
from builder.packages.metadata import Metadata, Opener, safe_path
from builder.packages.model import Repository
from builder.packages.primary import PackageReader
from builder.packages.signed import signers

FOLDER = "ksbuild-extras"
_INDEX = "repodata/repomd.xml"
_SHOWN = 5
_CHUNK = 1024 * 1024
_DIGESTS = ("sha256", "sha384", "sha512")


@dataclass(frozen=True, slots=True)
class Listed:
    """What the repository's metadata says of one of its files: bytes, and a checksum."""

    size: int
    digest: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Extras:
    """The repository, and path on the medium -> file of all that goes there."""

    repository: Repository
    files: Mapping[str, LocalFile]

    @property
    def summary(self) -> dict[str, Any]:
        """What the manifest says: the digest of repomd.xml, on which all other checksums hang."""
        return {
            "folder": FOLDER,
            "repomd_sha256": self.files[f"{FOLDER}/{_INDEX}"].checksum,
            "packages": len(self.repository.packages),
            "bytes": sum(file.size for file in self.files.values()),
        }


def extra_packages(folder: Path, key_ids: Iterable[str] = ()) -> Extras:
    """Check the repository in `folder` whole. Only what its repodata lists goes along.

    Args:
        folder: of the repository, as createrepo_c makes it.
        key_ids: what rpm shows of the keys that may have signed the packages; with none given,
            signatures are not looked at.

    Raises:
        RepositoryError: no repository, damaged, repodata and packages do not match, or a package
            is not signed by one of the keys; names what is missing, altered or not listed.
        MediumError: a file of 4 GiB or more.
        OSError: a file cannot be read.
    """
    hint = f"createrepo_c {folder}"

    def opener(inner: str) -> BinaryIO:
        try:
            return (folder / inner).open("rb")
        except OSError as error:
            raise RepositoryError(f"{folder / inner}: {error.strerror}", hint) from error

    metadata = Metadata(folder.name, str(folder), opener)
    repository = read_folder(folder, name="--extra-packages")
    listed = dict(_listed(metadata, opener))
    faults = list(_faults(listed, opener))
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.rpm")}
    faults += [f"{path} is not listed" for path in sorted(there - set(listed))]
    if faults:
        metadata.fail(f"repodata is stale: {_few(faults)}", hint)
    _need_signatures(folder, sorted(there), {each.upper() for each in key_ids}, metadata)
    files = {
        f"{FOLDER}/{path}": LocalFile(folder / path, said.size, said.digest, said.checksum)
        for path, said in sorted(listed.items())
    }
    for file in files.values():
        file.check_size()
    return Extras(repository, files)


def differing(said: Mapping[str, Any], opener: Opener) -> list[str]:
    """What is not as the manifest's summary and the repository on the medium itself say.

    Args:
        said: an `Extras.summary`.
        opener: opens a file of the repository on the medium; raises a MediaError.
    """
    try:
        with opener(_INDEX) as file:
            if hashlib.sha256(file.read()).hexdigest() != said["repomd_sha256"]:
                return [f"{_INDEX} is not the one that was put there"]
        listed = dict(_listed(Metadata(FOLDER, "on the medium", opener), opener))
    except MediaError as error:
        return [error.message]
    except (ValueError, AttributeError, KeyError) as error:
        return [f"its list of packages cannot be read: {error}"]
    return list(_faults(listed, opener))


def _listed(metadata: Metadata, opener: Opener) -> Iterator[tuple[str, Listed]]:
    """Yield the path of every file and what is said of it; repodata's own are checked by that."""
    for path in (_INDEX, *(entry.path for entry in metadata.entries.values())):
        with opener(path) as file:
            size, checksum = _summed(file, "sha256")
        yield path, Listed(size, "sha256", checksum)
    for entry in metadata.entries.values():
        # Read to its end, so that its checksum is compared.
        for _ in metadata.chunks(entry):
            pass
    reader = PackageReader(metadata.name, {})
    for element in metadata.elements("primary") if "primary" in metadata.entries else ():
        package = reader.package(element)
        path = safe_path(package.location)
        if not path:
            metadata.fail(f"{package.location} lies outside of it")
        yield path, Listed(package.size, *package.checksum)


def _faults(listed: Mapping[str, Listed], opener: Opener) -> Iterator[str]:
    for path, said in sorted(listed.items()):
        if said.digest not in _DIGESTS:
            yield f"{path} is listed with a checksum of type {said.digest!r}, which proves nothing"
            continue
        try:
            with opener(path) as file:
                size, checksum = _summed(file, said.digest)
        except SourceError:
            yield f"{path} is missing"
            continue
        if size != said.size:
            yield f"{path} is of {size} bytes instead of {said.size}"
        elif checksum != said.checksum:
            yield f"{path} is altered"


def _summed(file: BinaryIO, kind: str) -> tuple[int, str]:
    digest = hashlib.new(kind)
    size = 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _need_signatures(
    folder: Path, paths: Iterable[str], allowed: set[str], metadata: Metadata
) -> None:
    if not allowed:
        return
    found = {path: signers(folder / path) for path in paths}
    unsigned = [
        f"{path} ({'key ' + ', '.join(by) if by else 'not signed'})"
        for path, by in found.items()
        if not allowed & set(by)
    ]
    if unsigned:
        metadata.fail(
            f"not signed by a key that the profile pins: {_few(unsigned)}",
            "pin the key of whoever made them (gpg_key and gpg_fingerprint), or leave them out; "
            "%post would stop the installation",
        )


def _few(what: list[str]) -> str:
    more = f" and {len(what) - _SHOWN} more" if len(what) > _SHOWN else ""
    return "; ".join(what[:_SHOWN]) + more
