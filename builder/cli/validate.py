"""ksbuild validate"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.outcome import PROFILE, SOURCE, errors_worded, fail, result, say_problems
from builder.cli.packages import EXTRA_PACKAGES, check_packages, read_extras, say_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.media.source import Source
    from builder.profile.model import Profile
    from builder.profile.problems import Problem


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="How problems are written.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("--online", is_flag=True, help="Ask the repositories for every package, too.")
@click.option(
    "--source",
    metavar="ISO",
    type=click.Path(path_type=Path),
    help="The EL9 ISO to be: what is on it is looked for nowhere else.",
)
@EXTRA_PACKAGES
def validate(
    profile: Path, form: str, online: bool, source: Path | None, folder: Path | None
) -> None:
    """Check PROFILE and say every mistake at once.

    With --online or --source every package of the installation is looked for as well.
    """
    from builder.profile.load import load
    from builder.profile.problems import ProfileError

    with errors_worded():
        try:
            checked = load(profile)
            name, problems, valid = checked.profile.pair.name, checked.warnings, True
        except ProfileError as error:
            name, problems, valid = "", error.problems, False
    if form == "json":
        result("ksbuild/validate/1", valid=valid, problems=[_json(p) for p in problems])
    elif form == "github":
        for problem in problems:
            click.echo(_github(str(profile), problem))
    else:
        say_problems(str(profile), problems)
    if not valid:
        if form == "text":
            what = f"{profile}: {len(problems)} problem(s)"
            fail(PROFILE, what, f"ksbuild explain {problems[0].code}")
        raise SystemExit(PROFILE)
    if online or folder or source:
        with errors_worded():
            _packages(profile.parent, checked.profile, source, folder, online=online)
    if form == "text":
        click.echo(f"{profile}: pair {name} is valid")


def _packages(
    beside: Path, profile: "Profile", iso: Path | None, folder: Path | None, *, online: bool
) -> None:
    from builder.inputs import package_keys

    extras = read_extras(package_keys(beside, profile), folder)
    with _opened(iso) as source:
        if source is None and not online:
            return
        problems = check_packages(profile, source, extras, network=False) if source else []
        if online and (source is None or any(problem.fatal for problem in problems)):
            problems = check_packages(profile, source, extras)
        if say_packages(problems, source.release if source else ""):
            hint = "add what the hints name" + ("" if online else ", or look there, too: --online")
            fail(SOURCE, "not everything can be installed", hint)


@contextlib.contextmanager
def _opened(iso: Path | None) -> "Iterator[Source | None]":
    from builder.media.source import open_source

    if iso is None:
        yield None
        return
    with open_source(iso) as source:
        yield source


@click.command()
@click.argument("code")
def explain(code: str) -> None:
    """Say what a problem's CODE means and what to do.

    CODE is such as KS111.
    """
    from builder.profile.codes import CODES

    if code.upper() not in CODES:
        raise click.BadParameter(f"no such code; there are {', '.join(CODES)}")
    title, text = CODES[code.upper()]
    click.echo(f"{code.upper()}: {title}\n\n{text}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of a profile, for editors."""
    import json

    from builder.profile.reference import schema as make_schema

    click.echo(json.dumps(make_schema(), indent=2))


def _json(problem: "Problem") -> dict[str, object]:
    return {
        "severity": problem.severity,
        "code": problem.code,
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
        "line": problem.position.line,
        "column": problem.position.column,
    }


def _github(file: str, problem: "Problem") -> str:
    """A workflow command (GitHub's documentation, "Workflow commands"), escaped as it demands."""
    place = f"file={file},line={problem.position.line},col={problem.position.column}"
    text = f"{problem.key}: {problem.message}" if problem.path else problem.message
    for raw, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(raw, escaped)
    return f"::{problem.severity} {place},title={problem.code}::{text}"
