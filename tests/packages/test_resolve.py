"""The resolver against real dnf, on the same real repositories."""

import dataclasses
import random
from pathlib import Path

import pytest

from builder.packages.errors import RepositoryError
from builder.packages.folder import read_folder
from builder.packages.known import home_of
from builder.packages.model import Problem, Resolution
from builder.packages.resolve import resolve
from builder.packages.version import Capability
from tests.packages.rpms import Rpm, dnf, repository

R = Rpm
KERNEL = "5.14.0-503.11.1.el9_5"
NEWER = "5.14.0-570.12.1.el9_6"

SHAPES: dict[str, tuple[list[Rpm], list[str]]] = {
    "newest": ([R("a", "1.0-1"), R("a", "1.10-1"), R("a", "1.9-1")], ["a"]),
    "epoch": ([R("a", "1:1.0-1"), R("a", "2.0-1")], ["a"]),
    "tilde and caret": ([R("a", "1.0~rc1-1"), R("a", "1.0-1"), R("a", "1.0^git1-1")], ["a"]),
    "chain": ([R("a", requires=("b",)), R("b", requires=("c >= 1",)), R("c"), R("d")], ["a"]),
    "circle": ([R("a", requires=("b",)), R("b", requires=("a",))], ["a"]),
    "provides": ([R("a", requires=("v",)), R("b", provides=("v",))], ["a"]),
    "wanted provides": ([R("b", provides=("v = 2",))], ["v"]),
    "versioned provides": (
        [R("a", requires=("v >= 2",)), R("b", provides=("v = 1",)), R("c", provides=("v = 2",))],
        ["a"],
    ),
    "unversioned provides": ([R("a", requires=("v >= 2",)), R("b", provides=("v",))], ["a"]),
    "release left out": ([R("a", requires=("b = 1.0",)), R("b", "1.0-7")], ["a"]),
    "greater than without release": ([R("a", requires=("b > 1.0",)), R("b", "1.0-7")], ["a"]),
    "exact older": ([R("a", requires=("b = 1-1",)), R("b", "1-1"), R("b", "2-1")], ["a"]),
    "fallback to older": ([R("a", "1-1"), R("a", "2-1", requires=("nowhere",))], ["a"]),
    "fallback far away": (
        [R("a", "1-1"), R("a", "2-1", requires=("b",)), R("b", requires=("nowhere",))],
        ["a"],
    ),
    "agree on the older": (
        [
            R("a", "1-1", requires=("c = 1",)),
            R("a", "2-1", requires=("c = 2",)),
            R("b", requires=("c = 1",)),
            R("c", "1-1"),
            R("c", "2-1"),
        ],
        ["a", "b"],
    ),
    "late bound": (
        [R("a", requires=("b",)), R("z", requires=("b < 2",)), R("b", "1-1"), R("b", "2-1")],
        ["a", "z"],
    ),
    "file in primary": ([R("a", requires=("/usr/bin/x",)), R("b", files=("/usr/bin/x",))], ["a"]),
    "file in filelists": (
        [R("a", requires=("/usr/share/x/y",)), R("b", files=("/usr/share/x/y",)), R("c")],
        ["a"],
    ),
    "file nowhere": ([R("a", requires=("/usr/share/x/y",)), R("b")], ["a"]),
    "missing": ([R("a", requires=("b",)), R("b", requires=("nowhere",))], ["a"]),
    "missing version": ([R("a", requires=("b >= 2",)), R("b")], ["a"]),
    "wanted nowhere": ([R("a")], ["a", "nowhere"]),
    "glob": ([R("fence-a"), R("fence-b"), R("other")], ["fence-*"]),
    "name and arch": ([R("a", arch="x86_64"), R("a", arch="i686")], ["a.x86_64"]),
    "native first": (
        [R("a", requires=("b",)), R("b", "1-1", arch="x86_64"), R("b", "2-1", arch="i686")],
        ["a"],
    ),
    "conflict": ([R("a", conflicts=("b",)), R("b")], ["a", "b"]),
    "conflict with a version": (
        [R("a", conflicts=("b > 1",)), R("b", "1-1"), R("b", "2-1")],
        ["a", "b"],
    ),
    "conflict in need": ([R("a", requires=("b", "c")), R("b", conflicts=("c",)), R("c")], ["a"]),
    "conflict with its own provides": ([R("a", provides=("v",), conflicts=("v",))], ["a"]),
    "one of two kinds": (
        [
            R("a", requires=("v",)),
            R("b", provides=("v",), conflicts=("v",)),
            R("c", provides=("v",), conflicts=("v",)),
        ],
        ["a", "c"],
    ),
    "obsoleted by need": (
        [R("old"), R("new", provides=("old = 2",), obsoletes=("old < 2",))],
        ["new"],
    ),
    "obsoleted and obsoleter": ([R("old"), R("new", obsoletes=("old < 2",))], ["new", "old"]),
    "if, absent": ([R("a", requires=("(b if c)",)), R("b"), R("c")], ["a"]),
    "if, present": ([R("a", requires=("(b if c)",)), R("b"), R("c")], ["a", "c"]),
    "if, missing": ([R("a", requires=("(b if c)",)), R("c")], ["a", "c"]),
    "if, comes late": (
        [R("a", requires=("(b if e)", "d")), R("b"), R("d", requires=("e",)), R("e")],
        ["a"],
    ),
    "else": ([R("a", requires=("(b if c else d)",)), R("b"), R("d")], ["a"]),
    "not else": ([R("a", requires=("(b if c else d)",)), R("b"), R("c"), R("d")], ["a", "c"]),
    "or, one there": ([R("a", requires=("(b or c)",)), R("c")], ["a"]),
    "or, one wanted": ([R("a", requires=("(b or c)",)), R("b"), R("c")], ["a", "c"]),
    "and": ([R("a", requires=("(b and c >= 1)",)), R("b"), R("c")], ["a"]),
    "and, one missing": ([R("a", requires=("(b and c >= 2)",)), R("b"), R("c")], ["a"]),
    "with": (
        [
            R("a", requires=("(v >= 2 with v < 3)",)),
            R("b", provides=("v = 1",)),
            R("c", provides=("v = 3",)),
            R("d", provides=("v = 2",)),
        ],
        ["a"],
    ),
    "without": (
        [R("a", requires=("(v without w)",)), R("b", provides=("v", "w")), R("c", provides=("v",))],
        ["a"],
    ),
    "nested": (
        [R("a", requires=("((b and c) if (d or e))",)), R("b"), R("c"), R("d"), R("e")],
        ["a", "e"],
    ),
    "obsoleted, wanted": ([R("old"), R("new", obsoletes=("old < 2",))], ["old"]),
    "obsoleted, needed": (
        [R("a", requires=("old",)), R("old"), R("new", obsoletes=("old < 2",))],
        ["a"],
    ),
    "obsoleted, too new": ([R("old", "3-1"), R("new", obsoletes=("old < 2",))], ["old"]),
    "obsoletes the chosen": (
        [R("a", requires=("new",)), R("old"), R("new", obsoletes=("old < 2",))],
        ["old", "a"],
    ),
    "needs both": (
        [R("a", requires=("old", "new")), R("old"), R("new", obsoletes=("old < 2",))],
        ["a"],
    ),
    "conflict told by the other": ([R("a"), R("b", conflicts=("a",))], ["a", "b"]),
    "boolean conflict": (
        [R("a", conflicts=("(b and c)",)), R("b"), R("c")],
        ["a", "b", "c"],
    ),
    "boolean conflict, half": ([R("a", conflicts=("(b and c)",)), R("b"), R("c")], ["a", "b"]),
    "conflict unless": ([R("a", conflicts=("(b unless c)",)), R("b"), R("c")], ["a", "b", "c"]),
    "by version": ([R("a", "1-1"), R("a", "2-1")], ["a-1-1"]),
    "by version and arch": ([R("a", "1-1"), R("a", "2-1")], ["a-1-1.noarch"]),
}


def answer(resolution: Resolution) -> set[str] | None:
    if any(problem.fatal for problem in resolution.problems):
        return None
    return {str(package) for package in resolution.chosen}


@pytest.mark.parametrize("shape", SHAPES)
def test_like_dnf(tmp_path: Path, shape: str) -> None:
    rpms, wanted = SHAPES[shape]
    folder = repository(tmp_path / "repo", rpms)
    ours = resolve([read_folder(folder)], wanted)
    assert answer(ours) == dnf(tmp_path, {"repo": folder}, wanted), ours.problems
    assert all(p.text and p.hint and "\n" not in p.text + p.hint for p in ours.problems)


def test_random_repositories_like_dnf(tmp_path: Path) -> None:
    """Never a yes where dnf says no, and what is chosen, dnf installs to the letter."""
    for seed in range(20):
        rpms, wanted = random_rpms(random.Random(seed))  # noqa: S311
        work = tmp_path / str(seed)
        folder = repository(work / "repo", rpms)
        ours = answer(resolve([read_folder(folder)], wanted))
        theirs = dnf(work, {"repo": folder}, wanted)
        assert (ours is None) == (theirs is None), seed
        if ours is not None and ours != theirs:
            # Both are right: the choice between older versions of this or that is free.
            assert dnf(work, {"repo": folder}, sorted(ours)) == ours, seed


def random_rpms(rng: random.Random) -> tuple[list[Rpm], list[str]]:
    names = "abcdefgh"
    return [
        random_rpm(rng, names, name, version)
        for name in names
        for version in rng.sample([1, 2, 3], rng.choice([1, 1, 2, 3]))
    ], rng.sample(names, rng.choice([1, 2, 3]))


def random_rpm(rng: random.Random, names: str, name: str, version: int) -> Rpm:
    requires, conflicts = [], []
    for other in rng.sample(names.replace(name, ""), rng.choice([0, 1, 1, 2, 3])):
        ranged = f"{other} {rng.choice(['>=', '<=', '=', '<', '>'])} {rng.choice([1, 2, 3])}"
        match rng.randrange(20):
            case 0:
                conflicts.append(ranged)
            case 1 | 2:
                requires.append(f"({other} if {rng.choice(names)})")
            case 3:
                requires.append(f"({other} >= 1 with {other} < 3)")
            case kind:
                requires.append(ranged if kind < 10 else other)
    return Rpm(name, f"{version}-1", tuple(requires), conflicts=tuple(conflicts))


def test_packages_that_obsolete_each_other_end(tmp_path: Path) -> None:
    rpms = [R("a", obsoletes=("b",)), R("b", obsoletes=("a",))]
    folder = repository(tmp_path / "repo", rpms)
    ours = resolve([read_folder(folder)], ["a"])
    assert len(ours.chosen) == 1
    assert ours.problems[0].kind == "obsoleted"


def test_malformed_dependency_is_an_error(tmp_path: Path) -> None:
    bad = Capability("(a if")
    found = read_folder(repository(tmp_path / "repo", [R("a")]))
    package = dataclasses.replace(found.packages[0], requires=(bad,))
    with pytest.raises(RepositoryError, match="ends too early"):
        resolve([dataclasses.replace(found, packages=(package,))], ["a"])


def test_weak_dependencies_like_dnf(tmp_path: Path) -> None:
    rpms = [R("a", recommends=("b", "nowhere", "(d if e)")), R("b"), R("d"), R("e")]
    folder = repository(tmp_path / "repo", rpms)
    for weak in (False, True):
        for wanted in (["a"], ["a", "e"]):
            ours = resolve([read_folder(folder)], wanted, weak=weak)
            assert answer(ours) == dnf(tmp_path, {"repo": folder}, wanted, weak=weak)


def test_first_repository_wins_between_equals_and_newest_overall(tmp_path: Path) -> None:
    one = repository(tmp_path / "one", [R("a", "1-1"), R("b", "1-1")])
    two = repository(tmp_path / "two", [R("a", "1-1"), R("b", "2-1")])
    chosen = resolve([read_folder(one), read_folder(two)], ["a", "b"]).chosen
    assert [(str(p), p.repository) for p in chosen] == [
        ("a-1-1.noarch", "one"),
        ("b-2-1.noarch", "two"),
    ]


def test_excluded_like_dnf(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repo", [R("a", requires=("b",)), R("b"), R("c")])
    assert dnf(tmp_path, {"repo": folder}, ["a"], excluded=["b"]) is None
    problem = only(resolve([read_folder(folder)], ["a", "-b"]))
    assert problem.kind == "excluded"
    assert problem.text == (
        "b, needed by a-1.0-1.noarch, wanted by the profile, is excluded by the profile"
    )
    assert answer(resolve([read_folder(folder)], ["a", "c", "-[bx]*"])) is None
    assert answer(resolve([read_folder(folder)], ["b", "-c"])) == {"b-1.0-1.noarch"}


def only(resolution: Resolution) -> Problem:
    (problem,) = resolution.problems
    return problem


def test_words(tmp_path: Path) -> None:
    base = repository(tmp_path / "BaseOS", [R("gfs", requires=("lib >= 2",)), R("lib"), R("pcsx")])
    other = repository(tmp_path / "AppStream", [R("x")])
    repositories = [read_folder(base), read_folder(other)]
    problem = only(resolve(repositories, ["kmod-drbd9x"]))
    assert problem.text == (
        "kmod-drbd9x, wanted by the profile, is in none of: BaseOS, AppStream; it lives in ELRepo"
    )
    assert problem.hint == "add ELRepo to the profile, or put it on the medium: --extra-packages"
    assert problem.fatal
    assert only(resolve(repositories, ["gfs"])).text == (
        "lib >= 2, needed by gfs-1.0-1.noarch, wanted by the profile, is in none of: "
        "BaseOS, AppStream; there is lib-1.0-1.noarch in BaseOS"
    )
    assert only(resolve(repositories, ["pcsxx"])).hint == "did you mean pcsx?"
    assert only(resolve([], ["x"])).text == "x, wanted by the profile, is in none of: no repository"
    assert only(resolve(repositories, ["@nothing"])).kind == "group"


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("pacemaker", "HighAvailability"),
        ("fence-agents-ipmilan", "HighAvailability"),
        ("gfs2-utils", "ResilientStorage"),
        ("dlm", "ResilientStorage"),
        ("drbd9x-utils", "ELRepo"),
        ("bash", ""),
    ],
)
def test_homes(name: str, home: str) -> None:
    assert home_of(name) == home


def test_a_name_with_a_dash_is_no_version(tmp_path: Path) -> None:
    """kmod-drbd9x where there is only kmod: its own repository is named."""
    folder = repository(tmp_path / "r", [R("kmod", "28-10")])
    (problem,) = resolve([read_folder(folder)], ["kmod", "kmod-drbd9x"]).problems
    assert (problem.kind, problem.home) == ("missing", "ELRepo")
    assert problem.text.startswith("kmod-drbd9x, wanted")
    assert not resolve([read_folder(folder)], ["kmod-28-10", "kmod-28"]).problems
