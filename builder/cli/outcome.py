"""Exit statuses, which never change, and how each kind of error is worded."""

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from builder.profile.problems import Problem

PROFILE, SOURCE, REFUSED, ENVIRONMENT, DIFFERENT, INTERRUPTED = 3, 4, 5, 6, 7, 130


def fail(status: int, message: str, hint: str = "") -> NoReturn:
    """One line of error, one line with the next thing to do, and the exit status."""
    click.echo(f"ksbuild: {message}", err=True)
    if hint:
        click.echo(f"next: {hint}", err=True)
    raise SystemExit(status)


def result(schema: str, **values: object) -> None:
    """Machine-readable result on standard output; `schema` carries its version."""
    click.echo(json.dumps({"schema": schema, **values}, indent=2, sort_keys=True))


def say_problems(file: str, problems: "list[Problem]") -> None:
    """Each problem or warning on standard error, with its hint."""
    for problem in problems:
        click.echo(problem.line(file), err=True)
        if problem.hint:
            click.echo(f"  hint: {problem.hint}", err=True)


@contextlib.contextmanager
def errors_worded() -> Iterator[None]:
    """Turn every expected error into a message and an exit status; a bug keeps its traceback."""
    from builder.demo.programs import DemoError
    from builder.errors import InputError, KeysError
    from builder.media.errors import MediumError, OutputError, RefusedError, SourceError
    from builder.profile.problems import ProfileError

    try:
        yield
    except ProfileError as error:
        say_problems(error.file, error.problems)
        fail(PROFILE, str(error), f"mend {error.file}, then: ksbuild validate {error.file}")
    except (SourceError, MediumError) as error:
        fail(SOURCE, str(error), error.hint)
    except InputError as error:
        fail(PROFILE, str(error), error.hint)
    except (KeysError, RefusedError) as error:
        fail(REFUSED, str(error), error.hint)
    except (OutputError, DemoError) as error:
        fail(ENVIRONMENT, str(error), error.hint)
    except KeyboardInterrupt:
        fail(INTERRUPTED, "interrupted; nothing is left behind")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(ENVIRONMENT, f"{where}{error.strerror or error}")
