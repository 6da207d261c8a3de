"""Which packages can never be installed, because something they need does not exist."""

from collections.abc import Iterable, Iterator

from builder.packages.index import Index, dependency, ignored
from builder.packages.model import Package
from builder.packages.rich import Dependency, Operation


class Installable:
    """`broken` are the packages among those looked at whose needs cannot be met by anything."""

    def __init__(self, index: Index, barred: frozenset[Package]) -> None:
        self._index = index
        self._seen: set[Package] = set(barred)
        self._dependants: dict[Package, list[Package]] = {}
        self.broken: set[Package] = set(barred)

    def look_at(self, roots: Iterable[Dependency]) -> None:
        """Look at every package that may be needed for `roots`."""
        fresh: list[Package] = []
        waiting = [package for root in roots for package in self._candidates(root)]
        while waiting:
            package = waiting.pop()
            if package in self._seen:
                continue
            self._seen.add(package)
            fresh.append(package)
            for need in needs(package):
                for candidate in self._candidates(need):
                    self._dependants.setdefault(candidate, []).append(package)
                    waiting.append(candidate)
        while fresh:
            package = fresh.pop()
            if package not in self.broken and not all(map(self.possible, needs(package))):
                self.broken.add(package)
                fresh += self._dependants.get(package, ())

    def _candidates(self, need: Dependency) -> Iterator[Package]:
        if isinstance(need, Operation) and need.operator not in ("with", "without"):
            for operand in need.operands:
                yield from self._candidates(operand)
        else:
            yield from self._index.candidates(need)

    def possible(self, need: Dependency) -> bool:
        """Whether something that is not broken satisfies it; a condition may simply not hold."""
        if isinstance(need, Operation):
            if need.operator == "if":
                return True
            if need.operator in ("and", "or"):
                return (all if need.operator == "and" else any)(map(self.possible, need.operands))
        return any(package not in self.broken for package in self._index.candidates(need))


def needs(package: Package) -> Iterator[Dependency]:
    """What must be there for the package, apart from what rpm itself provides."""
    for capability in package.requires:
        if not ignored(capability):
            yield dependency(capability)
