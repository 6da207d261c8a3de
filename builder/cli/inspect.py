"""ksbuild inspect"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli.outcome import SOURCE, errors_worded, result
from builder.cli.packages import extras_worded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.media.structures import Structures


@click.command()
@click.argument("medium", type=click.Path(path_type=Path))
@click.option("--show", "shown", metavar="FILE", help="Print one of its files, secrets redacted.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def inspect(medium: Path, shown: str | None, as_json: bool) -> None:
    """Say what is on MEDIUM, if it is whole, and where it starts.

    The exit status is 4 when a file is not what the manifest says, when boot catalog, FAT, MBR and
    GPT contradict themselves or each other, or when it does not start somewhere.
    """
    from builder.media.inspect import boots, read_tree, structures
    from builder.media.oemdrv import LABEL
    from builder.plan import manifest
    from builder.plan.redact import redact

    with errors_worded():
        tree = read_tree(medium)
        said = manifest.read(tree[manifest.PATH])
        differing = manifest.differing(said, tree) + _extras(medium, said)
        companion = said["volume_id"] == LABEL
        starts = {} if companion else boots(medium, tree)
        found = None if companion else structures(medium)
    if shown is not None:
        if shown not in tree:
            raise click.BadParameter(f"no such file; there are {', '.join(sorted(tree))}")
        click.echo(redact(tree[shown].decode("utf-8", "replace")), nl=False)
        return
    if as_json:
        facts = {key: value for key, value in said.items() if key != "schema"}
        facts |= {"layout": found.layout, "damaged": found.damaged} if found else {}
        result("ksbuild/inspect/1", **facts, differing=differing, boots=starts)
    else:
        _say(medium, said, differing)
        _say_boots(starts, found)
    if differing or any(starts.values()) or (found and found.damaged):
        raise SystemExit(SOURCE)


def _extras(medium: Path, said: "Mapping[str, Any]") -> list[str]:
    """What is wrong with the extra packages, all of which are read."""
    from builder.media.inspect import opening
    from builder.packages.extras import differing

    if "extras" not in said:
        return []
    folder = said["extras"]["folder"]
    with opening(medium, folder) as opener:
        return [f"{folder}/{what}" for what in differing(said["extras"], opener)]


def _say(medium: Path, said: "Mapping[str, Any]", differing: list[str]) -> None:
    nodes = said["nodes"]
    whose = f"nodes {', '.join(nodes)}" if len(nodes) > 1 else f"node {nodes[0]} alone"
    click.echo(f"{medium}: pair {said['pair']}, {whose}")
    if said["demonstration"]:
        click.echo("  demonstration: installs nothing")
    click.echo(f"  labelled  {said['volume_id']}")
    click.echo(f"  plan      {said['plan_digest']}, agent {said['agent']}")
    for path, file in said["files"].items():
        state = "DIFFERS FROM THE MANIFEST" if path in differing else file["sha256"][:16]
        click.echo(f"  {file['bytes']:9}  {path}  {state}")
    if "extras" in said:
        for line in extras_worded(said["extras"]):
            click.echo(f"  {line}")
    for what in differing:
        if what not in said["files"]:
            click.echo(f"  DIFFERS FROM THE MANIFEST: {what}")


def _say_boots(starts: dict[str, str], found: "Structures | None") -> None:
    for part, text in found.layout.items() if found else ():
        click.echo(f"  {part:<9} {text}")
    for part, problem in found.damaged.items() if found else ():
        click.echo(f"  {part:<9} DAMAGED: {problem}")
    if not starts:
        click.echo("  boots on  nothing: it accompanies an unmodified EL9 medium")
    for place, reason in starts.items():
        click.echo(f"  boots on  {place}: {f'NO, {reason}' if reason else 'yes'}")
