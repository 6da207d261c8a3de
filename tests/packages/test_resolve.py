"""The resolver against real dnf, on the same real repositories."""

from pathlib import Path

import pytest

from builder.packages.folder import read_folder
from builder.packages.model import Resolution
from builder.packages.resolve import resolve
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
    "boolean conflict": (
        [R("a", conflicts=("(b and c)",)), R("b"), R("c")],
        ["a", "b", "c"],
    ),
    "boolean conflict, half": ([R("a", conflicts=("(b and c)",)), R("b"), R("c")], ["a", "b"]),
    "conflict unless": ([R("a", conflicts=("(b unless c)",)), R("b"), R("c")], ["a", "b", "c"]),
    "older kernel": (
        [
            R("kernel-core", KERNEL, provides=("installonlypkg(kernel)",)),
            R("kernel-core", NEWER, provides=("installonlypkg(kernel)",)),
            R("m", requires=(f"kernel-core = {KERNEL}",)),
        ],
        ["kernel-core", "m"],
    ),
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
