"""Who may import whom, and what every module may be. design.md "Layout" gives the rules."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILDER = sorted((ROOT / "builder").rglob("*.py"))
AGENT = sorted((ROOT / "firstboot").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BUILDER_MAY_TAKE = {"firstboot.node", "firstboot.render", "firstboot.seed", "firstboot.sequence"}
IMPURE = {"os", "socket", "subprocess", "pathlib", "time", "random", "firstboot.commands"}
PURE = [p for p in (*BUILDER, *AGENT) if {"plan", "render"} & set(p.relative_to(ROOT).parts[:-1])]


def name(source: Path) -> str:
    return str(source.relative_to(ROOT))


def imports(source: Path) -> set[str]:
    """Every module a source imports, wherever it does so; type checking blocks count as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            assert node.module
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("source", AGENT, ids=name)
def test_agent_takes_nothing_but_the_standard_library(source: Path) -> None:
    tops = {module.split(".")[0] for module in imports(source)}
    assert tops <= sys.stdlib_module_names | {"firstboot"}


@pytest.mark.parametrize("source", AGENT, ids=name)
def test_agent_is_python_3_9(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("source", BUILDER, ids=name)
def test_builder_takes_only_the_pure_parts_of_the_agent(source: Path) -> None:
    taken = {module for module in imports(source) if module.split(".")[0] == "firstboot"}
    allowed = {m for m in taken if any(m == a or m.startswith(a + ".") for a in BUILDER_MAY_TAKE)}
    assert taken - allowed <= {"firstboot", "firstboot.VERSION"}


@pytest.mark.parametrize("source", PURE, ids=name)
def test_planning_and_rendering_touch_nothing(source: Path) -> None:
    # PurePosixPath is a value; anything else of pathlib could touch a disk.
    assert imports(source) & IMPURE <= {"pathlib"}
    assert {m for m in imports(source) if m.startswith("pathlib.")} <= {"pathlib.PurePosixPath"}


def test_there_are_pure_modules() -> None:
    assert {p.parent.name for p in PURE} == {"plan", "render"}


def test_one_door_for_programs_on_each_side() -> None:
    users = {name(source) for source in (*BUILDER, *AGENT) if "subprocess" in imports(source)}
    assert users == {"firstboot/commands.py", "builder/demo/programs.py"}


@pytest.mark.parametrize("source", [*BUILDER, *AGENT, *TESTS], ids=name)
def test_modules_are_short(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= 300


@pytest.mark.parametrize("source", [*BUILDER, *AGENT], ids=name)
def test_functions_are_short(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                assert (body[-1].end_lineno or 0) - body[0].lineno < 40, f"{node.name} is too long"


def test_no_drawer_for_odds_and_ends() -> None:
    names = {part for p in (*BUILDER, *AGENT) for part in p.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}
