"""Read a profile: TOML, then the model, then the rules; every problem found at once."""

import copy
import dataclasses
import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from builder.profile import rules
from builder.profile.model import Profile
from builder.profile.positions import KeyPath, Position, Positions, positions
from builder.profile.problems import ERROR, WARNING, Problem, ProfileError

LARGEST_BYTES = 1024 * 1024
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOML_TWICE = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid profile, and what is worth a warning all the same."""

    profile: Profile
    warnings: list[Problem]


def load(path: Path) -> Checked:
    """The checked profile of a file. Raises ProfileError with every problem, or OSError."""
    return parse(path.read_bytes()[: LARGEST_BYTES + 1], str(path))


def parse(raw: bytes, file: str) -> Checked:
    """The checked profile of a text; `file` only names it in messages."""
    text = _decode(raw, file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(file, [_syntax(str(error), text)]) from None
    except RecursionError:
        raise ProfileError(file, [Problem("KS102", (), "nested too deeply")]) from None
    where = positions(text)
    profile, problems = _model(data, where)
    if profile is not None:
        found = [_placed(problem, where) for problem in rules.check(profile)]
        problems += [problem for problem in found if problem.severity == ERROR]
    if problems or profile is None:
        raise ProfileError(file, problems)
    return Checked(profile, [problem for problem in found if problem.severity == WARNING])


def _model(data: dict[str, Any], where: Positions) -> tuple[Profile | None, list[Problem]]:
    """The model and the problems of single keys.

    Keys that are wrong but not needed are taken out for a second try, so that the rules across keys
    can be checked in the same run.
    """
    try:
        return Profile.model_validate(data), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    problems = [_model_problem(details, where) for details in errors]
    trimmed = copy.deepcopy(data)
    for details in errors:
        _remove(trimmed, details["loc"])
    try:
        return Profile.model_validate(trimmed), problems
    except ValidationError:
        return None, problems


def _remove(data: Any, path: tuple[int | str, ...]) -> None:
    for part in path[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return  # taken out already, with the table around it
    if isinstance(data, dict):
        data.pop(path[-1], None)


def _decode(raw: bytes, file: str) -> str:
    if len(raw) > LARGEST_BYTES:
        problem = Problem("KS101", (), f"larger than {LARGEST_BYTES} bytes: is this a profile?")
        raise ProfileError(file, [problem])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem("KS101", (), "not UTF-8", position=Position(line, column))
        raise ProfileError(file, [problem]) from None


def _syntax(message: str, text: str) -> Problem:
    place = _TOML_PLACE.search(message)
    if place and place[1]:
        position = Position(int(place[1]), int(place[2]))
    else:
        position = Position(text.count("\n") + 1, 1)
    hint = ""
    if "number" in message or "newline or end" in message or "digit" in message:
        hint = 'a name of digits needs quotes, such as "00014"'
    said = _TOML_PLACE.sub("", message)
    if said.startswith(_TOML_TWICE):
        said = "this key or table stands in the file twice"
        hint = "remove one of them; tables that repeat have double brackets, such as [[node]]"
    return Problem("KS102", (), said, hint, position)


def _model_problem(details: Any, where: Positions) -> Problem:
    path: KeyPath = details["loc"]
    kind, message = details["type"], details["msg"]
    if kind == "extra_forbidden":
        return Problem("KS103", path, "unknown key", _meant(path), where.of(path, key=True))
    if kind == "missing":
        return Problem("KS104", path, "is missing", position=where.of(path))
    code = "KS106" if kind == "value_error" else "KS105"
    message = message.removeprefix("Value error, ")
    return Problem(code, path, message[:1].lower() + message[1:], position=where.of(path))


def _placed(problem: Problem, where: Positions) -> Problem:
    at = where.of(problem.path)
    return dataclasses.replace(problem, position=at)


def _meant(path: KeyPath) -> str:
    """ "did you mean" for an unknown key, from the keys the model has at that place."""
    model: Any = Profile
    for part in path[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    close = difflib.get_close_matches(str(path[-1]), model.model_fields, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(model.model_fields)}"
