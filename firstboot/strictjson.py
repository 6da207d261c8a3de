"""JSON -> frozen dataclasses, strictly: nothing missing or unknown, types as declared."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints


class StrictError(ValueError):
    """The JSON is not what the dataclass says; the text names the place."""


def value(kind: Any, raw: Any, path: str) -> Any:
    """`raw` as `kind`: a dataclass, a tuple, an Optional of one, or a plain type. StrictError."""
    if get_origin(kind) is tuple:
        return _tuple(kind, raw, path)
    if get_origin(kind) is not None:  # Optional[X], the only union in use
        inner = next(arg for arg in get_args(kind) if arg is not type(None))
        return None if raw is None else value(inner, raw, path)
    if is_dataclass(kind):
        return _dataclass(kind, raw, path)
    if type(raw) is not kind:
        raise StrictError(f"{path}: {kind.__name__} expected, found {type(raw).__name__}")
    return raw


def _tuple(kind: Any, raw: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise StrictError(f"{path}: a list expected, found {type(raw).__name__}")
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(raw)
    if len(kinds) != len(raw):
        raise StrictError(f"{path}: {len(kinds)} items expected, found {len(raw)}")
    return tuple(value(k, item, f"{path}[{i}]") for i, (k, item) in enumerate(zip(kinds, raw)))


def _dataclass(kind: Any, raw: Any, path: str) -> Any:
    if not isinstance(raw, Mapping):
        raise StrictError(f"{path}: an object expected, found {type(raw).__name__}")
    names = {field.name for field in fields(kind)}
    if names != set(raw):
        unknown, missing = sorted(set(raw) - names), sorted(names - set(raw))
        raise StrictError(f"{path}: unknown keys {unknown}, missing keys {missing}")
    hints = get_type_hints(kind)
    return kind(**{name: value(hints[name], raw[name], f"{path}.{name}") for name in names})
