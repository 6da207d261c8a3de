"""ksbuild report"""

from pathlib import Path

import click

from builder.cli.outcome import errors_worded, keep_older
from builder.cli.plan import KEYS
from builder.cli.planning import make_plan


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: PROFILE.html here.")
@KEYS
@click.option("--force", is_flag=True, help="Replace an older file.")
def report(profile: Path, output: Path | None, keys: Path | None, force: bool) -> None:
    """Draw the pair on a page, to look at and to print.

    Cables, ports, VLANs and fence paths, the disk with its sectors, open ports, what happens in
    which order, and labels for the servers, as HTML on A4. Nothing secret is on it.
    """
    from builder.plan.report import render
    from builder.resources import templates

    output = output or Path(f"{profile.stem}.html")
    keep_older(output, {profile: "the profile"}, force=force)
    with errors_worded():
        text = render(make_plan(profile, keys, keep=False), templates())
        output.write_text(text, encoding="utf-8")
    click.echo(f"{output}: open it in a browser; it prints on A4")
