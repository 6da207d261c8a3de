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
    """`source` without its docstrings and comments; every line keeps its number."""
    text = source.decode()
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            for number in range(first.lineno, (first.end_lineno or first.lineno) + 1):
                lines[number - 1] = ""
            if node.body == [first]:
                lines[first.lineno - 1] = " " * first.col_offset + "pass"
    return "\n".join(lines).encode()
