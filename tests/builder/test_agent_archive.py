"""firstboot.pyz: small, the same every time, and it runs."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

from builder.plan.agent import archive, bare
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
    assert pyz.stat().st_size < 200_000


def test_only_what_python_does_not_need_is_left_out() -> None:
    """What is left is the same program, and a traceback names the same lines."""
    for name, source in agent_sources().items():
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                node.returns = None
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
                first = node.body.pop(0)
                if not node.body:
                    node.body.append(ast.copy_location(ast.Pass(), first))
        left = ast.parse(bare(source))
        assert ast.dump(left) == ast.dump(tree), name
        assert lines(left) == lines(tree), name
        tokens = list(tokenize.tokenize(io.BytesIO(bare(source)).readline))
        assert not [token for token in tokens if token.type == tokenize.COMMENT], name


def test_what_only_looks_like_a_comment_stays() -> None:
    """And a line is indented by one space a level, none where it goes on from another."""
    source = b'''def f(\xc3\xa9, b="->") -> "list[\xc3\xa9]":  # why
    """What."""  # noqa
    # alone
    a = "# no comment", \'#\', f"{1}#"  # "one"
    b = """
# nor is this
"""  # but this
    return [  # as well
        a, b, # and this
    ]
'''
    assert (
        bare(source).decode()
        == '''def f(é, b="->"):


 a = "# no comment", \'#\', f"{1}#"
 b = """
# nor is this
"""
 return [
a, b,
]
'''
    )


def lines(tree: ast.Module) -> list[tuple[str, int]]:
    return [
        (type(node).__name__, node.lineno) for node in ast.walk(tree) if hasattr(node, "lineno")
    ]
