"""docs/promises.md: the tests it names exist, and all that was written by hand stands there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from firstboot import sequence
from firstboot.engine import Refused, Step, converge
from firstboot.steps.cluster import ClusterUp
from firstboot.steps.fencing import Fencing
from firstboot.steps.filesystem import FileSystem
from firstboot.steps.mounted import Mounted
from firstboot.steps.replication import Replication
from firstboot.steps.secrets import Secrets

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/promises.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
# Programs of the tests' own, and what they are compared with by their own name.
CODE = {".py", ".c", ".s", ".sh", ".ks"}
OUTPUTS = [
    path
    for path in sorted((ROOT / "tests").rglob("*"))
    if path.is_file()
    and not {"golden", "__pycache__", "installer"} & set(path.parts)
    and path.suffix not in CODE
    and path.name not in ("README", "SOURCE")
]


@cache
def names_in(module: str) -> set[str]:
    """What pytest would collect from a module."""
    found: set[str] = set()
    for node in ast.parse((ROOT / module).read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):  # Test... = Machine.TestCase
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in found if name.startswith(("test_", "Test"))}


@pytest.mark.parametrize(("module", "name"), NAMED, ids=lambda part: part.rpartition("/")[2])
def test_a_named_test_exists(module: str, name: str) -> None:
    assert name in names_in(module)


def test_every_promise_is_held_by_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| **")]
    assert len(rows) == 13
    assert all(re.search(r"`tests/[\w/]+\.py::\w+` \|$", row) for row in rows)


@pytest.mark.parametrize("path", OUTPUTS, ids=lambda path: str(path.name))
def test_an_output_names_its_source(path: Path) -> None:
    """Beside it, by its own name or by a pattern: which program said it, and where."""
    told = [p.read_text() for name in ("README", "SOURCE") if (p := path.with_name(name)).exists()]
    patterns = re.findall(r"^([\w.*-]+)", "\n".join(told), re.MULTILINE)
    assert any(path.match(pattern) for pattern in patterns), "name it in SOURCE, beside it"


def test_what_was_written_by_hand_is_told_as_not_proved() -> None:
    told = set(re.findall(r"`(tests/\S*/assumed-\S+)`", PAGE))
    assert told == {str(p.relative_to(ROOT)) for p in OUTPUTS if p.name.startswith("assumed-")}


def test_nothing_is_shared_before_fencing_is_proven() -> None:
    """All that needs two nodes and could hurt comes behind fencing, which stops what follows."""
    order = [step.name for step in sequence.SEQUENCE]
    behind = order[order.index(Fencing.name) + 1 :]
    assert {Replication.name, FileSystem.name, ClusterUp.name, Mounted.name} <= set(behind)
    assert Secrets.name in order[: order.index(Fencing.name)]
    assert Fencing.barrier, "and on both nodes"
    asked: list[str] = []

    class Unproven(Step):
        def check(self) -> list[str]:
            asked.append(self.name)
            if self.name == Fencing.name:
                raise Refused("not proven", "ksnode rehearse")
            return []

        def apply(self) -> None:
            raise AssertionError(self.name)

    steps = [type(name, (Unproven,), {"name": name})() for name in order]
    with pytest.raises(Refused):
        converge(steps, lambda *_: None, has=lambda _: True)
    assert asked[-1] == Fencing.name
