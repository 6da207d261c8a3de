"""Stream repository XML element by element, in little memory and without entities."""

from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

_DEEPEST = 16
_BIGGEST = 64 * 1024 * 1024


class _Builder:
    """Collects the children of the document element, one after the other."""

    def __init__(self) -> None:
        self.ready: list[Element] = []
        self._depth = 0
        self._builder = TreeBuilder()
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        # Entities can only be declared in a document type; without one there is nothing to expand.
        parser.StartDoctypeDeclHandler = self._doctype
        self.parser = parser

    def _doctype(self, *_: object) -> None:
        raise ValueError("it has a document type declaration")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"it is more than {_DEEPEST} levels deep")
        if self._depth > 1:
            self._builder.start(name.rpartition("}")[2], attributes)

    def _end(self, name: str) -> None:
        if self._depth > 1:
            self._builder.end(name.rpartition("}")[2])
        if self._depth == 2:
            self.ready.append(self._builder.close())
            self._builder = TreeBuilder()
        self._depth -= 1

    def _data(self, text: str) -> None:
        if self._depth > 1:
            self._builder.data(text)


def children(chunks: Iterable[bytes]) -> Iterator[Element]:
    """Yield each child of the document element, names without their namespaces.

    Raises:
        ValueError: not well-formed, with a document type, or too deep; says which.
    """
    builder = _Builder()
    held = 0
    try:
        for chunk in chunks:
            builder.parser.Parse(chunk, False)
            held = 0 if builder.ready else held + len(chunk)
            if held > _BIGGEST:
                raise ValueError(f"one element has more than {_BIGGEST} bytes")
            yield from builder.ready
            builder.ready.clear()
        builder.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ValueError(f"it is not well-formed: {error}") from error
    yield from builder.ready
