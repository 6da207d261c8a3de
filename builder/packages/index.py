"""Look packages up by name, capability and file, best candidate first."""

import fnmatch
from collections.abc import Iterable, Iterator

from builder.packages import rich
from builder.packages.errors import RepositoryError
from builder.packages.model import Package, Repository
from builder.packages.rich import Dependency, Operation
from builder.packages.version import Capability, Newest, satisfies

# A 64-bit system can run the last ones; dnf takes them only when nothing else fits.
_ARCHITECTURES = {"x86_64": 0, "noarch": 0, "i686": 1, "i586": 1, "i386": 1}


def dependency(capability: Capability) -> Dependency:
    """The meaning of an entry of primary.xml, whose boolean dependencies stand in the name.

    Raises:
        RepositoryError: it looks like one and is none.
    """
    if not capability.name.startswith("("):
        return capability
    try:
        return rich.parse(capability.name)
    except ValueError as error:
        raise RepositoryError(f"a package needs {error}", "use another repository") from error


def ignored(capability: Capability) -> bool:
    """Whether rpm itself answers it: features of the library, not of a package."""
    return capability.name.startswith("rpmlib(")


class Index:
    """All packages of some repositories; the order of these decides between equal versions."""

    def __init__(self, repositories: Iterable[Repository], excluded: Iterable[str] = ()) -> None:
        self._repositories = tuple(repositories)
        self.by_name: dict[str, list[Package]] = {}
        self.hidden: dict[str, tuple[str, Package]] = {}
        # Nearly every name has one provider, and a list takes as much memory as the rest of it.
        self._providers: dict[str, Package | list[Package]] = {}
        self._obsoleters: dict[str, list[tuple[Capability, Package]]] = {}
        self._found: dict[Dependency, list[Package]] = {}
        self._all_files_known = False
        patterns = tuple(excluded)
        for repository in self._repositories:
            for package in repository.packages:
                if package.arch in _ARCHITECTURES:
                    self._take(package, patterns)

    def _take(self, package: Package, excluded: tuple[str, ...]) -> None:
        if any(fnmatch.fnmatchcase(package.name, pattern) for pattern in excluded):
            self.hidden.setdefault(package.name, ("excluded", package))
            return
        if package.module:
            # Without an enabled stream dnf does not see it; EL9 enables none by default.
            self.hidden.setdefault(package.name, ("modular", package))
            return
        self.by_name.setdefault(package.name, []).append(package)
        for capability in package.obsoletes:
            self._obsoleters.setdefault(capability.name, []).append((capability, package))
        for name in {capability.name for capability in package.provides} | set(package.files):
            self._provide(name, package)

    def _provide(self, name: str, package: Package) -> None:
        known = self._providers.setdefault(name, package)
        if isinstance(known, list):
            known.append(package)
        elif known is not package:
            self._providers[name] = [known, package]

    def _providers_of(self, name: str) -> list[Package]:
        known = self._providers.get(name, [])
        return known if isinstance(known, list) else [known]

    @property
    def names(self) -> str:
        """The repositories, for messages."""
        return ", ".join(repository.name for repository in self._repositories) or "no repository"

    def packages(self) -> Iterator[Package]:
        """Everything that may be installed."""
        for packages in self.by_name.values():
            yield from packages

    def candidates(self, wanted: Dependency) -> list[Package]:
        """Packages that satisfy a capability, or a `with`/`without` of them; best first."""
        if isinstance(wanted, Capability) and not wanted.flag:
            only = self._providers.get(wanted.name)
            if isinstance(only, Package):
                return [only]  # nearly all are of this kind, and nothing is gained by keeping them
        found = self._found.get(wanted)
        if found is None:
            found = self._found[wanted] = self._search(wanted)
        return found

    def _search(self, wanted: Dependency) -> list[Package]:
        if isinstance(wanted, Operation):
            first, *rest = wanted.operands
            keep = wanted.operator == "with"
            return [
                package
                for package in self.candidates(first)
                if all((package in self.candidates(other)) == keep for other in rest)
            ]
        if wanted.name.startswith("/") and wanted.name not in self._providers:
            self._read_file_lists(wanted.name)
        found = [
            package
            for package in self._providers_of(wanted.name)
            if wanted.name in package.files or not wanted.flag or provides(package, wanted)
        ]
        return self.ordered(found, wanted.name)

    def ordered(self, packages: list[Package], name: str) -> list[Package]:
        """Best first: of that very name, native, by name, newest, of the earlier repository."""
        newest_first = sorted(packages, key=lambda p: Newest(p.evr), reverse=True)
        return sorted(newest_first, key=lambda p: (p.name != name, _ARCHITECTURES[p.arch], p.name))

    def obsoleted_by(self, package: Package) -> Package | None:
        """A package of another name that replaces this one, if there is any."""
        for capability, newer in self._obsoleters.get(package.name, ()):
            own = Capability(package.name, "EQ", package.evr)
            if newer.name != package.name and satisfies(own, capability):
                return newer
        return None

    def _read_file_lists(self, path: str) -> None:
        """Find the owners of every file that somebody needs and primary.xml does not list."""
        paths = {path}
        if not self._all_files_known:
            self._all_files_known = True
            for package in self.packages():
                for capability in package.requires:
                    if capability.name.startswith("/"):
                        paths.add(capability.name)
        unknown = frozenset(path for path in paths if path not in self._providers)
        for repository in self._repositories:
            for path, owners in repository.owners(unknown).items():
                usable = [p for p in owners if p in self.by_name.get(p.name, ())]
                for package in usable:
                    self._provide(path, package)
        for path in unknown:
            self._providers.setdefault(path, [])


def provides(package: Package, wanted: Capability) -> bool:
    """Whether one of the package's provides has the name and a version in the range."""
    return any(
        capability.name == wanted.name and satisfies(capability, wanted)
        for capability in package.provides
    )
