"""Can everything wanted be installed together? A greedy closure that says what is in the way.

Not a SAT solver: it takes the newest candidate whose own needs can be met, falls back to older
ones, and starts again without a package that turned out to be in the way of another. Where it
finds an answer, the answer is right; where it finds none, it names what it saw.
"""

import fnmatch
from collections import deque
from collections.abc import Iterable

from builder.packages.closure import Closure
from builder.packages.index import Index
from builder.packages.kernel import check_pairs
from builder.packages.model import Package, Repository, Resolution
from builder.packages.version import Capability
from builder.packages.wanted import Wanted, read

_ATTEMPTS = 20


def resolve(
    repositories: Iterable[Repository], wanted: Iterable[str], *, weak: bool = False
) -> Resolution:
    """Resolve the lines of a %packages section.

    Args:
        repositories: the earlier one wins between equal versions.
        wanted: names, globs, name.arch, capabilities, @groups, @^environments, -exclusions.
        weak: take recommended packages along, as without --exclude-weakdeps.

    Raises:
        RepositoryError: a repository's file lists were needed and cannot be read.
    """
    repositories = tuple(repositories)
    lines = read(wanted, repositories)
    index = Index(repositories, lines.excluded)
    best = _attempt(index, lines, frozenset(), weak=weak)
    attempts = deque(best.without())
    for _ in range(_ATTEMPTS):
        if not best.problems or not attempts:
            break
        closure = _attempt(index, lines, attempts.popleft(), weak=weak)
        attempts += closure.without()
        if len(closure.problems) < len(best.problems):
            best = closure
    chosen = tuple(sorted(best.chosen, key=lambda package: (package.name, package.evr)))
    pairs = check_pairs(chosen)
    # The pair's own problem says more than "kernel >= X is missing" does.
    told = {module for module, problem in pairs if problem.fatal}
    others = [problem for problem, package in best.problems if package not in told]
    return Resolution(chosen, (*lines.problems, *others, *best.notices, *(p for _, p in pairs)))


def _attempt(index: Index, lines: Wanted, barred: frozenset[Package], *, weak: bool) -> Closure:
    closure = Closure(index, barred, weak=weak)
    roots: list[tuple[Capability, str]] = []
    for line in lines.named:
        roots += [(capability, "wanted by the profile") for capability in _meant(index, line)]
    roots += [(Capability(name), f"wanted by {group}") for name, group in lines.from_groups]
    if "kernel" in index.by_name:
        # pyanaconda, modules/payloads/payload/dnf/utils.py, get_kernel_package().
        roots.append((Capability("kernel"), "added by the installer"))
    # A version asked for satisfies the bare name as well, whichever comes first.
    roots.sort(key=lambda root: not root[0].flag)
    closure.close(roots, lines.conditional)
    return closure


def _meant(index: Index, line: str) -> list[Capability]:
    """A glob, name, name-version-release, either with .arch, or a capability as it stands."""
    if any(character in line for character in "*?["):
        return [Capability(name) for name in index.by_name if fnmatch.fnmatchcase(name, line)] or [
            Capability(line)
        ]
    name, _, architecture = line.rpartition(".")
    if line not in index.by_name and architecture in ("x86_64", "noarch", "i686"):
        line = name
    name, *version = line.rsplit("-", 2)
    # (kmod-drbd9x is no version of kmod)
    if line not in index.by_name and name in index.by_name and version[0][:1].isdigit():
        return [Capability(name, "EQ", "-".join(version))]
    return [Capability(line)]
