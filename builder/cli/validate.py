"""ksbuild validate"""

from pathlib import Path

import click

from builder.cli.outcome import PROFILE, errors_worded, result


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The problems as JSON on standard output.")
def validate(profile: Path, as_json: bool) -> None:
    """Check PROFILE and say every mistake at once."""
    from builder.profile.load import load
    from builder.profile.problems import ProfileError

    with errors_worded():
        try:
            checked = load(profile)
        except ProfileError as error:
            if not as_json:
                raise
            result(
                "ksbuild/validate/1",
                problems=[
                    {
                        "code": problem.code,
                        "key": problem.key,
                        "message": problem.message,
                        "hint": problem.hint,
                        "line": problem.position.line,
                        "column": problem.position.column,
                    }
                    for problem in error.problems
                ],
            )
            raise SystemExit(PROFILE) from None
    if as_json:
        result("ksbuild/validate/1", problems=[])
    else:
        click.echo(f"{profile}: pair {checked.pair.name} is valid")
