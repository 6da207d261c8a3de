"""Read a profile: TOML, then the model, then the rules; every problem found at once."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from builder.profile import rules
from builder.profile.model import Profile
from builder.profile.positions import KeyPath, Position, Positions, positions
from builder.profile.problems import Problem, ProfileError

LARGEST_BYTES = 1024 * 1024
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path) -> Profile:
    """The checked profile of a file. Raises ProfileError with every problem, or OSError."""
    return parse(path.read_bytes()[: LARGEST_BYTES + 1], str(path))


def parse(raw: bytes, file: str) -> Profile:
    """The checked profile of a text; `file` only names it in messages."""
    text = _decode(raw, file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(file, [_syntax(str(error), text)]) from None
    except RecursionError:
        raise ProfileError(file, [Problem("KS102", (), "nested too deeply")]) from None
    where = positions(text)
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        problems = [_model_problem(details, where) for details in error.errors(include_url=False)]
        raise ProfileError(file, problems) from None
    if found := [_placed(problem, where) for problem in rules.check(profile)]:
        raise ProfileError(file, found)
    return profile


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
    return Problem("KS102", (), _TOML_PLACE.sub("", message), hint, position)


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
    return Problem(problem.code, problem.path, problem.message, problem.hint, at)


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
