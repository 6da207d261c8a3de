"""The manual's page of keys and the JSON Schema for editors, both from the model."""

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from builder.profile.codes import CODES
from builder.profile.model import Profile

SCHEMA_ID = "ksbuild.schema.json"


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a profile."""
    made = Profile.model_json_schema()
    places = {Profile.__name__: made, **made["$defs"]}
    models: list[type[BaseModel]] = [Profile, *dict(sections(Profile, "")).values()]
    for model in models:
        for name, meaning in meanings(model).items():
            places[model.__name__]["properties"][name]["description"] = meaning
    return {"$id": SCHEMA_ID, **made}


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Key -> the text below it in the model's source.

    pydantic's use_attribute_docstrings reads the same, and would at every start.
    """
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)  # noqa: S101
    return {
        key.target.id: inspect.cleandoc(text.value.value)
        for key, text in itertools.pairwise(body.body)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def markdown() -> str:
    """A table of keys per section, and the table of problem codes."""
    lines = ["# Profile", "", "Every key of a profile. `[[x]]` may stand several times.", ""]
    for title, model in sections(Profile, ""):
        lines += [f"## {title}", "", (model.__doc__ or "").strip(), ""]
        lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        meaning = meanings(model)
        leaves = {name: field for name, field in model.model_fields.items() if _leaf(field)}
        lines += [_row(name, field, meaning[name]) for name, field in leaves.items()]
        lines.append("")
    lines += ["## Problem codes", "", "| code | means |", "| --- | --- |"]
    lines += [f"| {code} | {title} |" for code, (title, _) in CODES.items()]
    return "\n".join(lines) + "\n"


def sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section below `model` as ("[[node.fencing]]", its model), in the model's order."""
    for name, field in model.model_fields.items():
        inner = _model(field.annotation)
        if inner is None:
            continue
        path = f"{prefix}{name}"
        yield (f"[[{path}]]" if _is_list(field.annotation) else f"[{path}]"), inner
        yield from sections(inner, f"{path}.")


def _row(name: str, field: FieldInfo, meaning: str) -> str:
    default = "required" if field.is_required() else _toml(field.get_default())
    return f"| `{name}` | {_kind(field)} | {default} | {meaning} |"


def _leaf(field: FieldInfo) -> bool:
    return _model(field.annotation) is None


def _toml(value: object) -> str:
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return f"`{value}`"


def _kind(field: FieldInfo) -> str:
    texts = [_type(field.annotation)]
    limits = {type(item).__name__.lower(): item for item in field.metadata}
    low, high = limits.get("ge"), limits.get("le")
    if low is not None and high is not None:
        texts.append(f"{low.ge} to {high.le}")
    return ", ".join(texts)


def _type(annotation: Any) -> str:
    names = {str: "text", int: "number", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    arguments = [a for a in get_args(annotation) if a is not type(None)]
    if get_origin(annotation) is list:
        return f"list of {_type(arguments[0])}"
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{json.dumps(argument)}`" for argument in arguments)
    return _type(arguments[0])


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_model(argument) for argument in get_args(annotation)]
    return next((model for model in found if model is not None), None)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(a) for a in get_args(annotation))
