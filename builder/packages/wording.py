"""Problems in words, each with the next thing to do."""

import difflib
from collections.abc import Iterable

from builder.packages.index import Index
from builder.packages.known import home_of
from builder.packages.model import Package, Problem
from builder.packages.rich import Dependency
from builder.packages.version import Capability

_ADD = "add the repository that has it to the profile, or put it on the medium: --extra-packages"


def missing(index: Index, need: Dependency, why: str) -> Problem:
    """Nothing provides `need`; say whether another version, module or repository does."""
    name = need.name if isinstance(need, Capability) else str(need)
    if name in index.hidden:
        kind, package = index.hidden[name]
        if kind == "modular":
            return Problem(
                kind,
                f"{name}, {why}, is only in module {package.module} of {package.repository}",
                "modules are not enabled here; use a package outside of modules",
            )
        return Problem(
            kind,
            f"{name}, {why}, is excluded by the profile",
            f"remove -{name} from the packages, or what needs it",
        )
    text = f"{need}, {why}, is in none of: {index.names}"
    if others := index.by_name.get(name):
        best = index.ordered(others, name)[0]
        text += f"; there is {best} in {best.repository}"
    elif home := home_of(name):
        text += f"; it lives in {home}"
        return Problem("missing", text, _ADD.replace("the repository that has it", home), home)
    elif "wanted" in why and (near := difflib.get_close_matches(name, index.by_name, 1, 0.8)):
        return Problem("missing", text, f"did you mean {near[0]}?")
    return Problem("missing", text, _ADD)


def conflict(package: Package, blockers: Iterable[Package], why: str) -> Problem:
    """`package` cannot be installed together with `blockers`."""
    names = ", ".join(sorted(f"{blocker} of {blocker.repository}" for blocker in blockers))
    names = names or "what else is wanted"
    return Problem(
        "conflict",
        f"{package} of {package.repository}, {why}, conflicts with {names}",
        "remove one of them, or the repository that brings it",
    )


def boolean_conflict(package: Package, capability: Capability) -> Problem:
    """`package` conflicts with a combination of what is chosen."""
    return Problem(
        "conflict",
        f"{package} of {package.repository} conflicts with {capability}, which is chosen, too",
        "remove one of them",
    )


def obsoleted(package: Package, newer: Package) -> Problem:
    """Another package replaces `package`."""
    return Problem(
        "obsoleted",
        f"{package.name} is obsoleted by {newer} of {newer.repository}",
        f"want {newer.name} instead",
    )
