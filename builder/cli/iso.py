"""ksbuild iso"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli.build_time import build_time
from builder.cli.medium import (
    MODES,
    Target,
    choose_medium,
    default_mode,
    default_output,
    write_boot,
    write_companion,
    write_patched,
)
from builder.cli.outcome import INTERRUPTED, errors_worded, fail, keep_older, result
from builder.cli.packages import EXTRA_PACKAGES, extras_worded, need_network, read_extras
from builder.cli.planning import prepare
from builder.cli.progress import progress
from builder.cli.sourcing import source_path

if TYPE_CHECKING:
    from builder.plan import Plan
    from builder.plan.bootmenu import Medium


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--source", required=True, help="EL9 ISO: a file or an https address.")
@click.option("--mode", type=click.Choice(list(MODES)), help="As above.")
@click.option("--with-stage2", is_flag=True, help="For boot: take the installer's image along.")
@click.option("--node", help="Make the medium for this node alone.")
@click.option("--rejoin", metavar="NODE", help="The same, for NODE of a living pair; needs:")
@click.option("--ticket", type=click.Path(path_type=Path), help="What ksnode allow-rejoin wrote.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Default: [demo-]PROFILE[-NODE].iso"
)
@click.option("--keys", type=click.Path(path_type=Path), help="Default: PROFILE.keys/ beside it.")
@click.option("--md5", type=click.Choice(["implant", "drop"]), default="implant", help="For patch.")
@click.option("--sha256", help="Checksum of the source.")
@click.option("--checksum-file", help="The distribution's CHECKSUM: a file or an https address.")
@click.option("--no-verify-source", is_flag=True, help="Take a download without a checksum.")
@EXTRA_PACKAGES
@click.option("--offline", is_flag=True, help="Do not ask the repositories for the packages.")
@click.option("--force", is_flag=True, help="Replace OUTPUT; take a customised source.")
@click.option("--dry-run", is_flag=True, help="Check and render everything, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def iso(
    profile: Path,
    source: str,
    mode: str | None,
    with_stage2: bool,
    node: str | None,
    rejoin: str | None,
    ticket: Path | None,
    output: Path | None,
    keys: Path | None,
    md5: str,
    sha256: str | None,
    checksum_file: str | None,
    no_verify_source: bool,
    folder: Path | None,
    offline: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a bootable ISO that installs either node of the pair.

    \b
    patch   the source itself with the kickstarts on it; a DVD needs no network
    boot    a small medium of its own; the installer comes from install.url
    oemdrv  a tiny companion for an unmodified source in a second drive

    Without --mode it is patch, and boot for a demonstration source. With --with-stage2 only
    packages come from the network, and the installer itself from the medium.

    \b
    --md5 implant  (default) checkisomd5 and rd.live.check work, and sha256 is told
    --md5 drop     neither, so that patch does not read the medium whole: where files
                   are cloned (XFS, Btrfs) it takes a second, whatever the size

    Same profile, source, keys and SOURCE_DATE_EPOCH: same bytes.
    """
    from builder.media.source import open_source
    from builder.plan import tree
    from builder.resources import templates

    node = _one_node(node, rejoin, ticket)
    if with_stage2 and mode != "boot":
        raise click.UsageError("--with-stage2 is for --mode boot; a patched medium has it anyway")
    inputs = {profile: "the profile", ticket: "the ticket"}
    keep_older(output, inputs, force=force or dry_run)
    when = build_time()
    with errors_worded():
        prepared = prepare(profile, keys, keep=not dry_run, node=node, ticket=ticket)
        extras = read_extras(prepared.keys, folder, mode)
        path = source_path(source, sha256, checksum_file, verify=not no_verify_source, quiet=quiet)
        with open_source(path) as opened:
            if not force:
                opened.refuse_customised()
            output = output or default_output(profile, node, opened)
            target = Target(output, md5, force, quiet, when)
            keep_older(output, {**inputs, path: "the source"}, force=force or dry_run)
            chosen = mode or default_mode(opened)
            medium = choose_medium(prepared.profile, opened, chosen, node, with_stage2=with_stage2)
            network = need_network(prepared, opened, extras, dvd=medium.dvd, offline=offline)
            summary = {**extras.summary, "network": network} if extras else None
            packed = str(summary["folder"]) if summary else ""
            plan = prepared.plan(extras=packed, dvd=medium.dvd, network=network)
            files = tree(plan, medium, templates(), extras=summary)
            if chosen == "boot" and not dry_run:
                write_boot(target, files, opened, medium, extras)
        if chosen == "patch":
            write_patched(target, files, path, extras, dry_run=dry_run)
        elif chosen == "oemdrv" and not dry_run:
            write_companion(target, files)
    made = _Made(plan, medium, files, chosen, None if dry_run else output, summary)
    summed = not dry_run and (chosen, md5) != ("patch", "drop")
    digest = _sha256(output, quiet=quiet) if summed else None
    if as_json:
        _say_json(made, digest)
    else:
        _say(made, digest, profile, "" if mode else ", the default for this source")


def _one_node(node: str | None, rejoin: str | None, ticket: Path | None) -> str | None:
    """The node that the medium is for alone. Raises UsageError where options do not fit."""
    if (rejoin is None) != (ticket is None):
        raise click.UsageError("--rejoin NODE and --ticket FILE go together")
    if node and rejoin:
        raise click.UsageError("--rejoin names the node: leave --node out")
    return node or rejoin


@dataclass(frozen=True, slots=True)
class _Made:
    """What there is to tell; `output` is None after a dry run."""

    plan: "Plan"
    medium: "Medium"
    files: dict[str, bytes]
    mode: str
    output: Path | None
    extras: dict[str, Any] | None


def _sha256(path: Path, *, quiet: bool) -> str:
    """The medium's checksum, for which all of it is read."""
    from builder.media.output import sha256

    with errors_worded():
        try:
            with progress(f"summing {path}", quiet=quiet) as tell:
                return sha256(path, tell)
        except KeyboardInterrupt:
            fail(INTERRUPTED, f"interrupted; {path} is whole, and was only to be summed")


def _say_json(made: _Made, digest: str | None) -> None:
    import hashlib

    installs = made.medium.installs
    result(
        "ksbuild/iso/1",
        output=str(made.output) if made.output else None,
        sha256=digest,
        mode=made.mode,
        nodes=[node.name for node in made.plan.pair.nodes if installs(node.name)],
        plan_digest=made.plan.digest,
        extras=made.extras,
        files={path: hashlib.sha256(content).hexdigest() for path, content in made.files.items()},
    )


def _booting(made: _Made, profile: Path) -> str:
    if made.mode == "oemdrv":
        return ""
    node = made.medium.node or made.plan.pair.nodes[1].name
    return f"next, to see it boot: ksbuild try {profile} {made.output} --node {node}\n"


def _say(made: _Made, digest: str | None, profile: Path, by_default: str) -> None:
    alone = f", node {made.medium.node} alone" if made.medium.node else ""
    click.echo(f"pair {made.plan.pair.name}{alone}, plan {made.plan.digest}")
    click.echo(f"mode {made.mode}{by_default}: {MODES[made.mode]}")
    if made.medium.dvd:
        click.echo("installs from the medium's own packages; install.url is for a boot ISO")
    if made.extras:
        for line in extras_worded(made.extras):
            click.echo(line)
    if made.output is None:
        for path, content in made.files.items():
            click.echo(f"  {len(content):8}  {path}")
        click.echo("dry run: nothing was written")
        return
    click.echo(f"{digest}  {made.output}" if digest else f"{made.output}, not summed (--md5 drop)")
    if made.medium.demonstration:
        click.echo(
            "This is a DEMONSTRATION: it finds its kickstart, and installs nothing.\n"
            + _booting(made, profile)
            + f"next, for a medium that installs: ksbuild iso {profile} --source EL9.iso"
        )
    elif made.mode == "oemdrv":
        click.echo("next: give each server the unmodified EL9 ISO in one drive and this in another")
    elif made.medium.node:
        click.echo(
            "next: write it to a USB stick (dd) or give it to that server's BMC as virtual media,\n"
            f"      and boot {made.medium.node} from it"
        )
    else:
        click.echo(
            "next: write it to a USB stick (dd) or give it to each server's BMC as virtual media,\n"
            "      and boot each server from it"
        )
