"""Read repodata: repomd.xml, then primary, comps, modules and file lists as it names them.

Formats as createrepo_c writes them and libsolv reads them (ext/repo_repomdxml.c,
ext/repo_rpmmd.c, ext/repo_comps.c). Nothing is used before its checksum in repomd.xml was found
right; whoever serves repomd.xml is trusted by TLS or by the medium's own checksum.
"""

import bz2
import gzip
import hashlib
import importlib
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn, cast
from xml.etree.ElementTree import Element

from builder.packages.errors import RepositoryError
from builder.packages.model import Group, Package, Repository
from builder.packages.modules import module_of
from builder.packages.primary import PackageReader
from builder.packages.xml import children

# Opens a file of the repository ("repodata/repomd.xml"), seekable; raises RepositoryError.
Opener = Callable[[str], BinaryIO]

MOST_BYTES = 512 * 1024 * 1024
_MOST_UNPACKED = 4 * 1024 * 1024 * 1024
_CHUNK = 64 * 1024
_DIGESTS = ("sha256", "sha512", "sha384", "sha224")
_AGAIN = "make it anew with createrepo_c, or use another mirror"
_READ_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file repomd.xml vouches for; `size` is in bytes, 0 when it is not given."""

    path: str
    digest: str
    checksum: str
    size: int


class Metadata:
    """The verified metadata of one repository."""

    def __init__(self, name: str, where: str, opener: Opener) -> None:
        self.name = name
        self.where = where
        self._open = opener
        self.entries = self._read_index()

    def fail(self, what: str, hint: str = _AGAIN) -> NoReturn:
        """Refuse the repository, which stands first in the message."""
        raise RepositoryError(f"repository {self.name} ({self.where}): {what}", hint)

    def _read_index(self) -> dict[str, Entry]:
        with self._open("repodata/repomd.xml") as file:
            content = file.read(MOST_BYTES)
        try:
            found = {e.get("type", ""): e for e in children([content]) if e.tag == "data"}
        except ValueError as error:
            self.fail(f"repomd.xml cannot be read: {error}")
        return {kind: self._entry(kind, element) for kind, element in found.items()}

    def _entry(self, kind: str, element: Element) -> Entry:
        location, checksum = element.find("location"), element.find("checksum")
        if location is None or checksum is None:
            self.fail(f"repomd.xml names no place or checksum for {kind}")
        size = element.findtext("size", "0").strip()
        return Entry(
            path=safe_path(location.get("href", "")) or self.fail(f"{kind} lies outside of it"),
            digest=checksum.get("type", ""),
            checksum=(checksum.text or "").strip().lower(),
            size=int(size) if size.isdecimal() else 0,
        )

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Verify a file and yield its unpacked content.

        Raises:
            RepositoryError: it is not there, not what repomd.xml says, or packed as nobody reads.
        """
        with self._open(entry.path) as file:
            self._verify(entry, file)
            file.seek(0)
            done = 0
            try:
                with self._unpacked(entry.path, file) as plain:
                    while chunk := plain.read(_CHUNK):
                        if (done := done + len(chunk)) > _MOST_UNPACKED:
                            self.fail(f"{entry.path} unpacks to more than {_MOST_UNPACKED} bytes")
                        yield chunk
            except _READ_ERRORS as error:
                self.fail(f"{entry.path} cannot be read: {error}")

    def _verify(self, entry: Entry, file: BinaryIO) -> None:
        if entry.digest not in _DIGESTS:
            self.fail(f"{entry.path} has a checksum of type {entry.digest!r}, which proves nothing")
        digest = hashlib.new(entry.digest)
        size = 0
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if digest.hexdigest() != entry.checksum or size != (entry.size or size):
            self.fail(
                f"{entry.path} is not what repomd.xml says: {entry.digest} {entry.checksum} "
                f"of {entry.size} bytes expected, {digest.hexdigest()} of {size} bytes found"
            )

    def _unpacked(self, path: str, file: BinaryIO) -> BinaryIO:
        match path.rpartition(".")[2]:
            case "gz":
                return cast(BinaryIO, gzip.open(file))
            case "xz":
                return cast(BinaryIO, lzma.open(file))
            case "bz2":
                return cast(BinaryIO, bz2.open(file))
            case "zst":
                return self._unpacked_zstd(path, file)
        return file

    def _unpacked_zstd(self, path: str, file: BinaryIO) -> BinaryIO:
        try:
            # Python 3.14 has it.
            zstd = importlib.import_module("compression.zstd")
        except ImportError:
            self.fail(
                f"{path} is packed with zstd, which this Python cannot read",
                "use Python 3.14, or: createrepo_c --compress-type=gz (EL9 itself uses gz and xz)",
            )
        return cast(BinaryIO, zstd.open(file))

    def elements(self, kind: str) -> Iterator[Element]:
        """Yield the parts of one XML file. Raises RepositoryError."""
        entry = self.entries[kind]
        try:
            yield from children(self.chunks(entry))
        except ValueError as error:
            self.fail(f"{entry.path} cannot be read: {error}")


def safe_path(path: str) -> str:
    """Return `path` when it stays inside of the repository, else ""."""
    inside = re.fullmatch(r"[^/\0\\?#:%][^\0\\?#:%]*", path) and ".." not in path.split("/")
    return path if inside else ""


def read_repository(name: str, where: str, opener: Opener) -> Repository:
    """Read packages and groups.

    Args:
        name: as users know it, "AppStream".
        where: place, for messages; without credentials.
        opener: used now, and again when file lists are asked for.

    Raises:
        RepositoryError: says what is wrong with which file.
    """
    metadata = Metadata(name, where, opener)
    if "primary" not in metadata.entries:
        metadata.fail("repomd.xml names no list of packages")
    modules: dict[str, str] = {}
    if entry := metadata.entries.get("modules"):
        modules = module_of(metadata.chunks(entry))
    reader = PackageReader(name, modules)
    try:
        packages = tuple(map(reader.package, metadata.elements("primary")))
    except (ValueError, AttributeError, KeyError) as error:
        metadata.fail(f"a package in {metadata.entries['primary'].path} cannot be read: {error}")
    groups: dict[str, Group] = {}
    environments: dict[str, tuple[str, ...]] = {}
    if kind := next((k for k in ("group", "group_gz", "group_xz") if k in metadata.entries), None):
        for element in metadata.elements(kind):
            if element.tag == "group":
                groups[element.findtext("id", "")] = _group(element)
            elif element.tag == "environment":
                members = tuple(e.text or "" for e in element.findall("grouplist/groupid"))
                environments[element.findtext("id", "")] = members

    def owners(paths: frozenset[str]) -> dict[str, list[Package]]:
        return _owners(metadata, packages, paths)

    return Repository(name, packages, groups, environments, owners)


def _group(element: Element) -> Group:
    wanted: dict[str, list[str]] = {"mandatory": [], "default": [], "optional": []}
    conditional = []
    for member in element.findall("packagelist/packagereq"):
        kind, package = member.get("type", "mandatory"), (member.text or "").strip()
        if kind == "conditional":
            conditional.append((package, member.get("requires", "")))
        else:
            wanted.setdefault(kind, []).append(package)
    return Group(
        tuple(wanted["mandatory"]),
        tuple(wanted["default"]),
        tuple(wanted["optional"]),
        tuple(conditional),
    )


def _owners(
    metadata: Metadata, packages: tuple[Package, ...], paths: frozenset[str]
) -> dict[str, list[Package]]:
    found: dict[str, list[Package]] = {}
    if "filelists" not in metadata.entries:
        return found
    known = {package.checksum[1]: package for package in packages}
    for element in metadata.elements("filelists"):
        for file in element.iter("file"):
            if file.text in paths and (owner := known.get(element.get("pkgid", ""))):
                found.setdefault(file.text, []).append(owner)
    return found
