"""Pack the agent into the one file that the node's own python3 runs."""

import ast
import io
import tokenize
import zipfile
from collections.abc import Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can say
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_START = b"import sys\n\nfrom firstboot.__main__ import main\n\nsys.exit(main())\n"


def archive(sources: Mapping[str, bytes]) -> bytes:
    """firstboot.pyz from path -> source, as bare() has it: same sources, same bytes."""
    out = io.BytesIO(b"#!/usr/bin/python3\n")
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted({"__main__.py": _START, **sources}.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, bare(content), zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def bare(source: bytes) -> bytes:
    """`source` without docstrings, comments, wide indentation, and what a function returns.

    Every line keeps its number.
    """
    text = source.decode()
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for node in ast.walk(ast.parse(source)):
        returns = getattr(node, "returns", None)
        if returns is not None and returns.lineno == returns.end_lineno:
            line = lines[returns.lineno - 1].encode()
            head, tail = line[: returns.col_offset], line[returns.end_col_offset :]
            lines[returns.lineno - 1] = (head[: head.rindex(b" ->")] + tail).decode()
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            for number in range(first.lineno, (first.end_lineno or first.lineno) + 1):
                lines[number - 1] = ""
            if node.body == [first]:
                lines[first.lineno - 1] = " " * first.col_offset + "pass"
    return _narrow("\n".join(lines)).encode()


def _narrow(text: str) -> str:
    """The text indented by one space for each level, and its continuation lines by none."""
    lines, level, begins = text.split("\n"), 0, True
    kept: set[int] = set()  # within strings of several lines
    starts: dict[int, int] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kept.update(range(token.start[0] + 1, token.end[0] + 1))
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            level += 1 if token.type == tokenize.INDENT else -1
        elif token.type == tokenize.NEWLINE:
            begins = True
        elif begins and token.type not in (tokenize.NL, tokenize.COMMENT):
            starts[token.start[0]], begins = level, False
    return "\n".join(
        line if number in kept else " " * starts.get(number, 0) + line.lstrip()
        for number, line in enumerate(lines, 1)
    )
