"""What a repository says about its packages and groups."""

from collections.abc import Callable
from dataclasses import dataclass, field

from builder.packages.version import Capability


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """One RPM as primary.xml describes it.

    `files` are the few that primary.xml lists: /etc, binaries, /usr/lib/sendmail. `size` is in
    bytes, `module` is "name:stream" of the module it belongs to, or "".
    """

    name: str
    evr: str
    arch: str
    repository: str
    location: str
    size: int
    checksum: tuple[str, str]
    provides: tuple[Capability, ...]
    requires: tuple[Capability, ...]
    conflicts: tuple[Capability, ...]
    obsoletes: tuple[Capability, ...]
    recommends: tuple[Capability, ...]
    files: tuple[str, ...]
    module: str = ""

    def __str__(self) -> str:
        return f"{self.name}-{self.evr.removeprefix('0:')}.{self.arch}"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of comps.xml; `conditional` is package -> package it comes along with."""

    mandatory: tuple[str, ...]
    default: tuple[str, ...]
    optional: tuple[str, ...]
    conditional: tuple[tuple[str, str], ...]


# Which packages own each of these paths; reads filelists.xml, the largest file, only when asked.
Owners = Callable[[frozenset[str]], dict[str, list[Package]]]


@dataclass(frozen=True, slots=True)
class Repository:
    """Packages and groups under a name that users know; `owners` may need its source open."""

    name: str
    packages: tuple[Package, ...]
    groups: dict[str, Group] = field(default_factory=dict)
    environments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    owners: Owners = lambda _: {}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something wanted cannot be installed as wanted.

    `kind` is stable: missing, group, modular, excluded, conflict, kernel-pair are errors;
    obsoleted and kernel-release are what to know about something that can be installed, unread is
    what could not be looked at. `home` is the repository that what is missing lives in, "" where
    that is not known.
    """

    kind: str
    text: str
    hint: str
    home: str = ""

    @property
    def fatal(self) -> bool:
        """Whether the installer would stop, or install what does not work."""
        return self.kind not in ("obsoleted", "kernel-release", "unread")


@dataclass(frozen=True, slots=True)
class Resolution:
    """The packages that would be installed, sorted by name, and what is in the way."""

    chosen: tuple[Package, ...]
    problems: tuple[Problem, ...]
