"""ksbuild demo-source"""

from pathlib import Path

import click

from builder.cli.outcome import errors_worded


@click.command("demo-source")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option(
    "--cache", type=click.Path(path_type=Path), help="Default: demo-cache/ beside OUTPUT."
)
@click.option("--force", is_flag=True, help="Replace OUTPUT.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def demo_source(output: Path, cache: Path | None, force: bool, quiet: bool) -> None:
    """Make a stand-in for an EL9 ISO, to try ksbuild without one.

    It has an EL9 medium's shape and boots like one, and it installs nothing.
    """
    from builder.cli.build_time import build_time
    from builder.demo.assemble import WHEN, assemble

    cache = cache or output.parent / "demo-cache"
    with errors_worded():
        tell = None if quiet else _tell
        assemble(output, cache=cache, progress=tell, force=force, when=build_time(WHEN))
    click.echo(f"{output}: a demonstration source, assembled from Debian's packages")


def _tell(what: str) -> None:
    click.echo(f"demo-source: {what}", err=True)
