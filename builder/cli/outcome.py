"""Exit statuses, which never change, and how each kind of error is worded."""

import contextlib
import errno
import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from builder.profile.problems import Problem

BUG, PROFILE, SOURCE, REFUSED, ENVIRONMENT, DIFFERENT, INTERRUPTED = 1, 3, 4, 5, 6, 7, 130
_INTERRUPTED = "interrupted; nothing is left behind"
TRACEBACK = "KSBUILD_TRACEBACK"
REPORT = f"report it, with ksbuild --version and what {TRACEBACK}=1 ksbuild ... says"


def fail(status: int, message: str, hint: str = "") -> NoReturn:
    """One line of error, one line with the next thing to do, and the exit status."""
    click.echo(f"ksbuild: {message}", err=True)
    if hint:
        click.echo(f"next: {hint}", err=True)
    raise SystemExit(status)


def result(schema: str, **values: object) -> None:
    """Machine-readable result on standard output; `schema` carries its version."""
    import json

    click.echo(json.dumps({"schema": schema, **values}, indent=2, sort_keys=True))


def say_problems(file: str, problems: "list[Problem]") -> None:
    """Each problem or warning on standard error, with its hint."""
    for problem in problems:
        click.echo(problem.line(file), err=True)
        if problem.hint:
            click.echo(f"  hint: {problem.hint}", err=True)


@contextlib.contextmanager
def errors_worded() -> Iterator[None]:
    """Turn every expected error into a message and an exit status; a bug stays what it is."""
    try:
        yield
    except KeyboardInterrupt:
        fail(INTERRUPTED, _INTERRUPTED)
    except Exception as error:
        _word(error)
        raise


def _word(error: Exception) -> None:
    """Fail as the error wants it; return where it is none that was expected."""
    from builder.demo.programs import DemoError
    from builder.errors import InputError, KeysError, KickstartError
    from builder.media.errors import MediumError, OutputError, RefusedError, SourceError
    from builder.profile.problems import ProfileError

    match error:
        case ProfileError():
            say_problems(error.file, error.problems)
            fail(PROFILE, str(error), f"mend {error.file}, then: ksbuild validate {error.file}")
        case SourceError() | MediumError():
            fail(SOURCE, str(error), error.hint)
        case InputError():
            fail(PROFILE, str(error), error.hint)
        case KeysError() | RefusedError():
            fail(REFUSED, str(error), error.hint)
        case OutputError() | DemoError():
            fail(ENVIRONMENT, str(error), error.hint)
        case KickstartError():
            from builder.plan.redact import redact

            fail(BUG, f"this is a bug: {redact(str(error))}", REPORT)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            fail(ENVIRONMENT, f"{where}{error.strerror or error}")


def keep_older(output: Path | None, inputs: Mapping[Path | None, str], *, force: bool) -> None:
    """Fail where an older file would be replaced, and always where it is one of the `inputs`."""
    if output is None or not output.exists():
        return
    for path, what in inputs.items():
        if path is not None and path.exists() and output.samefile(path):
            fail(REFUSED, f"{output} is {what} itself", "name another file with --output")
    if not force:
        fail(REFUSED, f"{output} is there already", "add --force to replace it, or name another")


class Commands(click.Group):
    """A group whose commands end with one line and status 1 where there is a bug.

    `places` is command -> module of `builder.cli` that has it, imported when it is asked for.
    """

    def __init__(self, *args: Any, places: dict[str, str], **values: Any) -> None:
        super().__init__(*args, **values)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which they are used."""
        return [*self._places, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None where there is none."""
        place = self._places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"builder.cli.{place}")
        for value in vars(module).values():
            if isinstance(value, click.Command) and value.name == cmd_name:
                return value
        raise LookupError(f"{cmd_name} is not in builder.cli.{place}")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. An error's own words are left out: they could hold a secret."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (click.Abort, KeyboardInterrupt):
            fail(INTERRUPTED, _INTERRUPTED)
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            # A reader that went away is for click to see.
            if isinstance(error, OSError) and error.errno != errno.EPIPE:
                fail(ENVIRONMENT, error.strerror or str(error))
            if isinstance(error, OSError):
                raise
            fail(BUG, f"this is a bug: {type(error).__name__} in {_place(error)}", REPORT)


def _place(error: Exception) -> str:
    """FILE:LINE where it was raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at else "ksbuild"
