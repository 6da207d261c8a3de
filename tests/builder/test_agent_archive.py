"""firstboot.pyz: small, the same every time, and it runs."""

import ast
import subprocess
import sys
from pathlib import Path

from builder.plan.agent import archive, undocumented
from builder.resources import agent_sources
from firstboot import VERSION

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def test_same_sources_same_bytes() -> None:
    assert archive(agent_sources()) == archive(dict(reversed(agent_sources().items())))


def test_it_runs_and_is_small(tmp_path: Path) -> None:
    pyz = tmp_path / "firstboot.pyz"
    pyz.write_bytes(archive(agent_sources()))
    pyz.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", pyz, "--version"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == f"ksnode {VERSION}\n"
    assert pyz.stat().st_size < 200 * 1024


def test_only_docstrings_are_left_out() -> None:
    """What is left is the same program, and a traceback names the same lines."""
    for name, source in agent_sources().items():
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
                first = node.body.pop(0)
                if not node.body:
                    node.body.append(ast.copy_location(ast.Pass(), first))
        left = ast.parse(undocumented(source))
        assert ast.dump(left) == ast.dump(tree), name
        assert lines(left) == lines(tree), name


def lines(tree: ast.Module) -> list[tuple[str, int]]:
    return [
        (type(node).__name__, node.lineno) for node in ast.walk(tree) if hasattr(node, "lineno")
    ]
