"""Positions against tomllib: what stands at the place of a value is that value."""

import json
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.profile.positions import KeyPath, Position, positions

TEXT = """\
# comment with [brackets] and = signs
top = 1
[pair]
name = "0=[14"   # [not.a.header]
"quoted key" = 'lit#eral'
dotted . deep = true
[[node]]
name = "first"
disk = { size = [1, 2], deep = { er = "x" } }
[node.crossover]
ports = [
  "a",  # with a comment, and ]
  "b",
]
[[node]]
multi = \"\"\"
[not.a.header]
x = 1 \\\"\"\" still \"\"\"
after = 1979-05-27 07:32:00
[node.crossover]
ports = ['''c''', "d"]
"""


def test_places_of_an_everyday_text() -> None:
    tomllib.loads(TEXT)
    found = positions(TEXT)
    expected: dict[KeyPath, tuple[int, int]] = {
        ("top",): (2, 7),
        ("pair",): (3, 1),
        ("pair", "name"): (4, 8),
        ("pair", "quoted key"): (5, 16),
        ("pair", "dotted", "deep"): (6, 17),
        ("node", 0): (7, 1),
        ("node", 0, "disk"): (9, 8),
        ("node", 0, "disk", "size", 1): (9, 21),
        ("node", 0, "disk", "deep", "er"): (9, 39),
        ("node", 0, "crossover", "ports", 0): (12, 3),
        ("node", 0, "crossover", "ports", 1): (13, 3),
        ("node", 1, "multi"): (16, 9),
        ("node", 1, "after"): (19, 9),
        ("node", 1, "crossover", "ports", 1): (21, 19),
    }
    assert {path: (found.of(path).line, found.of(path).column) for path in expected} == expected
    assert found.of(("pair", "dotted", "deep"), key=True) == Position(6, 1)
    assert found.of(("node", 1, "no", "such")) == Position(15, 1)
    assert found.of(("nowhere",)) == Position(1, 1)


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
STRINGS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
LEAVES = st.one_of(st.integers(0, 9999), st.booleans(), STRINGS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(value: Any, gap: str) -> str:
    """A value as inline TOML with `gap` wherever blanks are free."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + gap + f"{gap},{gap}".join(written(v, gap) for v in value) + gap + "]"
    if isinstance(value, dict):
        pairs = (f"{quoted(k)} = {written(v, gap.strip(chr(10)))}" for k, v in value.items())
        return "{ " + ", ".join(pairs) + " }"
    return str(value)


def leaves(value: Any, path: KeyPath) -> list[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        return [leaf for k, v in value.items() for leaf in leaves(v, (*path, k))]
    if isinstance(value, list):
        return [leaf for i, v in enumerate(value) for leaf in leaves(v, (*path, i))]
    return [(path, value)]


@settings(max_examples=200)
@given(
    st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=3),
    st.sampled_from(["", " ", "\t "]),
)
def test_every_value_stands_where_it_is_said_to(data: dict[str, Any], gap: str) -> None:
    text = "".join(
        f"[ {quoted(table)} ] # [x]\n"
        + "".join(f"{quoted(key)}= {written(value, gap)}\n" for key, value in keys.items())
        for table, keys in data.items()
    )
    assert tomllib.loads(text) == data
    found = positions(text)
    lines = text.split("\n")
    for path, value in leaves(data, ()):
        at = found.of(path)
        assert lines[at.line - 1][at.column - 1 :].startswith(written(value, gap))
