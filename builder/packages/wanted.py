"""What the lines of %packages ask for."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from builder.packages.model import Group, Problem, Repository
from builder.packages.rich import Operation
from builder.packages.version import Capability


@dataclass(frozen=True, slots=True)
class Wanted:
    """Names by where they come from; `conditional` are "(a if b)"."""

    named: tuple[str, ...]
    from_groups: tuple[tuple[str, str], ...]
    conditional: tuple[Operation, ...]
    excluded: tuple[str, ...]
    problems: tuple[Problem, ...]


def read(lines: Iterable[str], repositories: tuple[Repository, ...]) -> Wanted:
    """Understand the lines as Anaconda does (pykickstart docs, "%packages").

    `@group` is its mandatory and default packages (`--nodefaults` without these, `--optional`
    with the optional ones), `@^environment` its groups, `-name` hides a
    package even from those who need it, `-@group` leaves a group out. Members that no repository
    has are passed over, as dnf does: comps.xml lists packages of every architecture.
    """
    lines = [line.strip() for line in lines]
    without = {line[2:] for line in lines if line.startswith("-@")}
    excluded = tuple(line[1:] for line in lines if line.startswith("-") and line[1:2] != "@")
    groups, problems = _groups([line for line in lines if line.startswith("@")], repositories)
    options = {line.split()[0][1:]: line.split()[1:] for line in lines if line.startswith("@")}
    known = {p.name for found in repositories for p in found.packages if not p.module}
    members: dict[str, str] = {}
    conditional = []
    for name in groups:
        for group in _called(name, repositories) if name not in without else ():
            for member in _members(group, options.get(name, [])):
                if member in known and not _hidden(member, excluded):
                    members.setdefault(member, f"@{name}")
            conditional += [
                Operation("if", (Capability(package), Capability(condition)))
                for package, condition in group.conditional
                if package in known and not _hidden(package, excluded)
            ]
    named = dict.fromkeys(line for line in lines if line and line[0] not in "@-#")
    return Wanted(
        tuple(named), tuple(members.items()), tuple(conditional), excluded, tuple(problems)
    )


def _members(group: Group, options: list[str]) -> tuple[str, ...]:
    default = () if "--nodefaults" in options else group.default
    return (*group.mandatory, *default, *(group.optional if "--optional" in options else ()))


def _hidden(name: str, excluded: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in excluded)


def _called(name: str, repositories: tuple[Repository, ...]) -> list[Group]:
    return [r.groups[name] for r in repositories if name in r.groups]


def _groups(
    lines: list[str], repositories: tuple[Repository, ...]
) -> tuple[dict[str, None], list[Problem]]:
    groups: dict[str, None] = {}
    problems = []
    for line in lines:
        name = line[1:].split()[0] if line[1:].split() else ""
        if name.startswith("^"):
            found = [r.environments[name[1:]] for r in repositories if name[1:] in r.environments]
            groups |= dict.fromkeys(group for members in found for group in members)
        else:
            found = [() for _ in _called(name, repositories)]
            groups[name] = None
        if not found:
            names = ", ".join(repository.name for repository in repositories) or "no repository"
            problems.append(
                Problem(
                    "group",
                    f"@{name}, wanted by the profile, is in none of: {names}",
                    "check the spelling, or add the repository that has the group",
                )
            )
    return groups, problems
