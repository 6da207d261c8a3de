"""ksbuild pxe"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.build_time import build_time
from builder.cli.outcome import errors_worded, result
from builder.cli.packages import EXTRA_PACKAGES
from builder.cli.sourcing import source_path
from builder.cli.tree import Asked, Builder, Made, group_id, pool_of, tree_url

if TYPE_CHECKING:
    from builder.media.pxe import Served


@click.command()
@click.argument("profiles", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--source", required=True, help="EL9 ISO: a file or an https address.")
@click.option("--url", required=True, help="Where OUT/http will be reached: http://HOST[/PATH]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The tree's folder.")
@click.option(
    "--pxelinux",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="pxelinux.0 for BIOS, of the package syslinux-tftpboot; EL9 media bring none.",
)
@click.option("--pool", metavar="FIRST-LAST", help="No other DHCP server: addresses for strangers.")
@click.option("--group", help="The web server's group, which may read the kickstarts.")
@click.option("--rejoin", metavar="NODE", help="For NODE of one living pair alone; needs:")
@click.option("--ticket", type=click.Path(path_type=Path), help="What ksnode allow-rejoin wrote.")
@click.option("--sha256", help="Checksum of the source.")
@click.option("--checksum-file", help="The distribution's CHECKSUM: a file or an https address.")
@click.option("--no-verify-source", is_flag=True, help="Take a download without a checksum.")
@EXTRA_PACKAGES
@click.option("--offline", is_flag=True, help="Do not ask the repositories for the packages.")
@click.option("--force", is_flag=True, help="Replace OUT; take a customised source.")
@click.option("--dry-run", is_flag=True, help="Check and render everything, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def pxe(
    profiles: tuple[Path, ...],
    source: str,
    url: str,
    out: Path,
    pxelinux: Path | None,
    pool: str | None,
    group: str | None,
    rejoin: str | None,
    ticket: Path | None,
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
    """Make a tree that servers start from over the network.

    It is for any TFTP and HTTP server, and for the nodes of all PROFILEs.

    \b
    OUT/tftp          loaders, menus by MAC, kernel and initrd; nothing secret
    OUT/http          the same, the installer, packages, and kickstarts in pairs/ (0640)
    OUT/dnsmasq.conf  beside an existing DHCP server; with --pool, the only one
    OUT/nginx.conf    gives each pair's kickstarts to its nodes' own addresses alone

    A server that no profile knows is refused, and goes on from its own disk. Name all profiles each
    time: the tree is made anew, and what is there of the same source is linked, not copied.

    Same profiles, source, keys, options and SOURCE_DATE_EPOCH: same bytes.
    """
    from builder.media.folder import check_folder
    from builder.media.pxe import MANIFEST
    from builder.media.source import open_source

    if (rejoin is None) != (ticket is None):
        raise click.UsageError("--rejoin NODE and --ticket FILE go together")
    if rejoin and len(profiles) > 1:
        raise click.UsageError("--rejoin is for one pair: name its profile alone")
    asked = Asked(
        profiles=profiles,
        url=tree_url(url),
        out=out,
        pool=pool_of(pool),
        group=group_id(group),
        node=rejoin,
        ticket=ticket,
        packages=folder,
        pxelinux=pxelinux.read_bytes() if pxelinux else None,
        offline=offline,
        force=force,
        dry_run=dry_run,
        quiet=quiet,
        when=build_time(),
    )
    with errors_worded():
        check_folder(out, MANIFEST, force=force or dry_run)
        path = source_path(source, sha256, checksum_file, verify=not no_verify_source, quiet=quiet)
        with open_source(path) as opened, path.open("rb") as image:
            if not force:
                opened.refuse_customised()
            made = Builder(asked, opened, image).build()
    if as_json:
        _say_json(asked, made)
    else:
        _say(asked, made)


def _say_json(asked: Asked, made: Made) -> None:
    result(
        "ksbuild/pxe/1",
        output=None if asked.dry_run else str(asked.out),
        url=asked.url,
        pairs=made.pairs,
        copied_bytes=made.copied,
        source=dict(made.served.identity),
        files=made.files,
    )


def _say(asked: Asked, made: Made) -> None:
    for pair in made.pairs:
        click.echo(f"pair {pair['name']}, plan {pair['plan_digest']}")
        for name, macs in pair["nodes"].items():
            click.echo(f"  {name:<16} {', '.join(macs)}")
    if asked.dry_run:
        for path in made.files:
            click.echo(f"  {path}")
        click.echo("dry run: nothing was written")
        return
    click.echo(_stored(made.served, made.copied))
    click.echo(f"{asked.out}/http is for {asked.url}/")
    _say_secrets(asked)
    if asked.pxelinux is None:
        click.echo(
            "BIOS starts from it by iPXE alone: EL9 media have no PXELINUX. next, for the others:\n"
            "      rpm2cpio AppStream/Packages/syslinux-tftpboot-*.rpm | cpio -idm, "
            "and --pxelinux tftpboot/pxelinux.0"
        )
    if made.demonstration:
        click.echo(
            "This is a DEMONSTRATION: it boots and finds its kickstart, and installs nothing."
        )
    click.echo(
        f"next: nginx with {asked.out}/nginx.conf, dnsmasq with {asked.out}/dnsmasq.conf,\n"
        "      and start each server from its network"
    )


def _stored(served: "Served", copied: int) -> str:
    count = served.identity["files"]
    there = "" if copied else ", all linked from the tree that was there"
    return f"{count} files of {served.identity['volume_id']}, {copied} bytes copied{there}"


def _say_secrets(asked: Asked) -> None:
    """What is in the tree that not everybody may read, and who may."""
    who = "its owner and the group given" if asked.group is not None else "its owner's group"
    click.echo(
        f"{asked.out}/http/pairs holds what introduces the nodes, and profiles' password hashes:\n"
        f"0640, for {who}. It is sent in clear text, to the nodes' own\n"
        "addresses; once a pair is formed, its introduction opens nothing any more"
    )
    if asked.group is None:
        click.echo(
            "next: build it with --group (nginx, www-data), or the web server cannot read it"
        )
