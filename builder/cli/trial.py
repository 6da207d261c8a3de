"""ksbuild try"""

from pathlib import Path

import click

from builder.cli.outcome import errors_worded


@click.command("try")
@click.argument("profile", type=click.Path(path_type=Path))
@click.argument("medium", type=click.Path(path_type=Path, exists=True))
@click.option("--node", help="The server to be; default: the first node.")
@click.option("--serial", help="Another serial number: a server that is none of the pair's.")
def trial(profile: Path, medium: Path, node: str | None, serial: str | None) -> None:
    """Boot a demonstration MEDIUM in QEMU as one of the servers.

    Its virtual disk is blank. Shows which node the medium takes it for, runs the real %pre and
    prints the partition table.
    """
    from builder.demo.trial import try_medium
    from builder.profile.load import load

    with errors_worded():
        sections = {section.name: section for section in load(profile).profile.node}
        name = node or next(iter(sections))
        if name not in sections:
            raise click.BadParameter(f"no such node; there are {', '.join(sections)}")
        click.echo(f"booting {medium} as {name}; without KVM this takes a minute or two", err=True)
        for line in try_medium(medium, sections[name], serial=serial):
            click.echo(line)
