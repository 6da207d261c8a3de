"""Where each key and value of a TOML text was written, so that an error can say line and column.

Own code because tomllib keeps no positions and no maintained library does. It reads only texts that
tomllib has accepted, so it may believe that what it reads is TOML.
"""

import bisect
import re
import tomllib
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2}(?!"))'
    r"|'''.*?'''(?:'{0,2}(?!'))"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text: line and column, both counted from 1, columns in characters."""

    line: int
    column: int


@dataclass
class Positions:
    """Positions of every key as written, and of every value (a table's is its header or brace)."""

    keys: dict[KeyPath, Position] = field(default_factory=dict)
    values: dict[KeyPath, Position] = field(default_factory=dict)

    def of(self, path: KeyPath, *, key: bool = False) -> Position:
        """Where `path` was written, or the nearest parent that was."""
        while path:
            first, second = (self.keys, self.values) if key else (self.values, self.keys)
            if found := first.get(path) or second.get(path):
                return found
            path = path[:-1]
        return Position(1, 1)


def positions(text: str) -> Positions:
    """Map every key path of `text`, which tomllib must have accepted, to where it stands."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._found = Positions()
        self._counts: dict[KeyPath, int] = {}

    def scan(self) -> Positions:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._line(table)
            self._skip(_BLANK)
        return self._found

    def _header(self) -> KeyPath:
        start = self._at
        array = self._text.startswith("[[", start)
        self._at += 2 if array else 1
        path = self._below_arrays(self._key())
        self._at += 2 if array else 1
        self._found.keys.setdefault(path, self._position(start))
        if array:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            path = (*path, index)
        self._found.values[path] = self._position(start)
        return path

    def _below_arrays(self, parts: KeyPath) -> KeyPath:
        """A header below [[array]] means the array's latest item."""
        path: KeyPath = ()
        for i, part in enumerate(parts):
            path = (*path, part)
            if path in self._counts and i < len(parts) - 1:
                path = (*path, self._counts[path] - 1)
        return path

    def _line(self, table: KeyPath) -> KeyPath:
        self._pair(table)
        return table

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        parts = self._key()
        for n in range(1, len(parts) + 1):
            self._found.keys.setdefault((*table, *parts[:n]), self._position(start))
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value((*table, *parts))

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            if match := _STRING.match(self._text, self._at):
                parts.append(tomllib.loads(f"k={match[0]}")["k"])
            else:
                match = _BARE_KEY.match(self._text, self._at)
                assert match, "tomllib accepted this key"  # noqa: S101
                parts.append(match[0])
            self._at = match.end()
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return tuple(parts)
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        self._found.values[path] = self._position(self._at)
        opening = self._text[self._at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._skip(_STRING if opening in "\"'" else _SCALAR)

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != "]":
            self._value((*path, index))
            index += 1
            self._separator()
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != "}":
            self._pair(path)
            self._separator()
        self._at += 1

    def _separator(self) -> None:
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        assert match, "tomllib accepted this text"  # noqa: S101
        self._at = match.end()

    def _position(self, offset: int) -> Position:
        line = bisect.bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)
