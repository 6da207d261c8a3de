"""One attempt at a closure of requirements."""

from collections import deque
from collections.abc import Iterable, Iterator

from builder.packages.index import Index, dependency, provides
from builder.packages.installable import Installable, needs
from builder.packages.kernel import installed_side_by_side
from builder.packages.model import Package, Problem
from builder.packages.rich import Dependency, Operation
from builder.packages.version import Capability, satisfies
from builder.packages.wording import boolean_conflict, conflict, missing, obsoleted

_WISH = "recommended"


class Closure:
    """`chosen` maps each package to the one that needs it, or says who wanted it.

    `problems` come with the package that has them, if any.

    `ways_out` are packages without one of which another attempt may do better.
    """

    def __init__(self, index: Index, barred: frozenset[Package], *, weak: bool) -> None:
        self._index = index
        self._barred = barred
        self._weak = weak
        self._installable = Installable(index, barred)
        self._queue: deque[tuple[Dependency, Package | None, str]] = deque()
        self._conditions: list[tuple[Operation, Package | None, str]] = []
        self._wishes: list[Dependency] = []
        self._conflicts: dict[str, list[tuple[Capability, Package]]] = {}
        self._obsoletes: dict[str, list[tuple[Capability, Package]]] = {}
        self._names: dict[str, list[Package]] = {}
        self._reported: set[Dependency] = set()
        self._told: set[Package] = set()
        self._replaced: set[Package] = set()
        self.chosen: dict[Package, Package | str] = {}
        self.ways_out: list[Package] = []
        self.problems: list[tuple[Problem, Package | None]] = []
        self.notices: list[Problem] = []

    def close(
        self, roots: Iterable[tuple[Capability, str]], conditional: Iterable[Operation]
    ) -> None:
        """Choose packages for `roots` and everything they need."""
        self._queue.extend((root, None, why) for root, why in roots)
        self._installable.look_at([root for root, _, _ in self._queue])
        self._wishes += conditional
        while self._queue or self._more():
            self._need(*self._queue.popleft())
        for package in self.chosen:
            for capability in package.conflicts:
                if capability.name.startswith("(") and self._satisfied(dependency(capability)):
                    self._report(capability, package, boolean_conflict(package, capability))

    def without(self) -> Iterator[frozenset[Package]]:
        """What to bar in further attempts."""
        return (self._barred | {package} for package in self.ways_out)

    def _more(self) -> bool:
        """Queue what became due by what was chosen meanwhile; wishes come last, one by one."""
        for operation, package, why in self._conditions:
            for part in self._due(operation):
                if package and not self._usable(part) and not self.ways_out:
                    self.ways_out = [package, *self._chosen_for(operation.operands[1])]
                self._queue.append((part, package, why))
        wishes = iter(self._wishes)
        while not self._queue and (wish := next(wishes, None)):
            due = self._due(wish) if isinstance(wish, Operation) else (wish,)
            self._queue += ((part, None, _WISH) for part in due if self._granted(part))
        return bool(self._queue)

    def _chosen_for(self, condition: Dependency) -> list[Package]:
        if isinstance(condition, Operation):
            return [p for operand in condition.operands for p in self._chosen_for(operand)]
        return [p for p in self._index.candidates(condition) if p in self.chosen]

    def _granted(self, wish: Dependency) -> bool:
        self._installable.look_at([wish])
        return not self._satisfied(wish) and bool(self._usable(wish))

    def _due(self, operation: Operation) -> Iterator[Dependency]:
        """What a condition asks for now and is neither there nor known to be impossible."""
        part: Dependency = operation
        while isinstance(part, Operation) and part.operator == "if":
            first, condition, *otherwise = part.operands
            if self._satisfied(condition):
                part = first
            elif otherwise:
                part = otherwise[0]
            else:
                return
        if not self._satisfied(part) and part not in self._reported:
            yield part

    def _satisfied(self, need: Dependency) -> bool:
        if isinstance(need, Operation):
            if need.operator == "if":
                return not any(self._due(need))
            if need.operator == "unless":
                # rpm allows it in conflicts only.
                first, condition, *otherwise = need.operands
                return any(
                    map(self._satisfied, otherwise if self._satisfied(condition) else [first])
                )
            if need.operator in ("and", "or"):
                return (all if need.operator == "and" else any)(map(self._satisfied, need.operands))
        return any(package in self.chosen for package in self._index.candidates(need))

    def _need(self, need: Dependency, package: Package | None, why: str) -> None:
        if self._satisfied(need) and not _conditional(need):
            return
        if not isinstance(need, Operation) or need.operator in ("with", "without"):
            self._pick(need, package, why)
        elif need.operator == "if":
            self._conditions.append((need, package, why))
        elif need.operator == "and":
            self._queue.extend((part, package, why) for part in need.operands)
        else:
            possible = filter(self._installable.possible, need.operands)
            self._queue.append((next(possible, need.operands[0]), package, why))

    def _usable(self, need: Dependency) -> list[Package]:
        if isinstance(need, Operation) and need.operator not in ("with", "without"):
            return [package for part in need.operands for package in self._usable(part)]
        sound = (p for p in self._index.candidates(need) if p not in self._installable.broken)
        return [package for package in sound if not self._blockers(package)]

    def _pick(self, need: Dependency, package: Package | None, why: str) -> None:
        candidates = self._index.candidates(need)
        sound = [p for p in candidates if p not in self._installable.broken]
        successor = self._index.obsoleted_by(sound[0]) if sound and package is None else None
        if successor and successor not in self._installable.broken | self._replaced:
            # Like dnf: what is wanted by name gives way; what is needed is taken as it is.
            self._replaced.add(sound[0])
            self.notices.append(obsoleted(sound[0], successor))
            self._need(Capability(successor.name), None, why)
        elif usable := self._usable(need):
            self._choose(usable[0], package, why)
        elif sound:
            self._report_conflict(need, sound[0], package, why)
        elif followed := [p for p in candidates if p not in self._barred]:
            # Its own needs cannot be met; following them shows which.
            self._choose(followed[0], package, why)
        elif candidates:
            self._report_conflict(need, candidates[0], package, why)
        else:
            self._report(need, package, missing(self._index, need, self._why(package, why)))

    def _report_conflict(
        self, need: Dependency, candidate: Package, package: Package | None, why: str
    ) -> None:
        blockers = self._blockers(candidate)
        if not self.ways_out:
            self.ways_out = [*sorted(blockers, key=str), candidate]
        if candidate in self._told:
            self._reported.add(need)
        self._told.add(candidate)
        self._report(need, package, conflict(candidate, blockers, self._why(package, why)))

    def _report(self, need: Dependency, package: Package | None, problem: Problem) -> None:
        if need not in self._reported:
            self._reported.add(need)
            self.problems.append((problem, package))

    def _why(self, package: Package | None, why: str) -> str:
        if package is None:
            return why
        words, reason = [f"needed by {package}"], self.chosen[package]
        while isinstance(reason, Package):
            words.append(f"needed by {reason}")
            reason = self.chosen[reason]
        return ", ".join([*words, reason])

    def _choose(self, package: Package, wanted_by: Package | None, why: str) -> None:
        self.chosen[package] = wanted_by or why
        self._names.setdefault(package.name, []).append(package)
        for kind, table in (
            (package.conflicts, self._conflicts),
            (package.obsoletes, self._obsoletes),
        ):
            for capability in kind:
                table.setdefault(capability.name, []).append((capability, package))
        self._queue.extend((need, package, "") for need in needs(package))
        if self._weak:
            self._wishes += map(dependency, package.recommends)

    def _blockers(self, package: Package) -> set[Package]:
        """Which of the chosen packages it cannot be installed with."""
        found = set(self._other_versions(package))
        for capability in package.conflicts:
            found |= {p for p in self._index.candidates(capability) if p in self.chosen}
        for capability in package.obsoletes:
            found |= {p for p in self._names.get(capability.name, ()) if named(p, capability)}
        for mine in package.provides:
            for capability, owner in self._conflicts.get(mine.name, ()):
                if provides(package, capability):
                    found.add(owner)
        for capability, owner in self._obsoletes.get(package.name, ()):
            if named(package, capability):
                found.add(owner)
        return found - {package}

    def _other_versions(self, package: Package) -> Iterator[Package]:
        if not installed_side_by_side(package):
            for other in self._names.get(package.name, ()):
                if other.evr != package.evr or other.arch == package.arch:
                    yield other


def _conditional(need: Dependency) -> bool:
    return isinstance(need, Operation) and need.operator == "if"


def named(package: Package, capability: Capability) -> bool:
    """Whether a package itself, not what it provides, is in the range: what Obsoletes mean."""
    return package.name == capability.name and satisfies(
        Capability(package.name, "EQ", package.evr), capability
    )
