"""ksbuild iso"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.build_time import build_time
from builder.cli.outcome import REFUSED, errors_worded, fail, result
from builder.cli.planning import make_plan
from builder.cli.progress import progress

if TYPE_CHECKING:
    from builder.media.source import Source
    from builder.plan import Plan

VOLUME_ID, DEMO_VOLUME_ID = "KSBUILD", "KSBUILD-DEMO"


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--source", required=True, type=click.Path(path_type=Path), help="EL9 ISO.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: PROFILE.iso here.")
@click.option("--keys", type=click.Path(path_type=Path), help="Default: PROFILE.keys/ beside it.")
@click.option("--force", is_flag=True, help="Replace OUTPUT.")
@click.option("--dry-run", is_flag=True, help="Check and render everything, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def iso(
    profile: Path,
    source: Path,
    output: Path | None,
    keys: Path | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a bootable ISO that installs either node of PROFILE's pair.

    Same profile, source, keys and SOURCE_DATE_EPOCH: same bytes.
    """
    from builder.media.source import open_source
    from builder.plan import tree
    from builder.plan.bootmenu import Medium
    from builder.resources import templates

    output = output or Path(profile.with_suffix(".iso").name)
    if output.exists() and not (force or dry_run):
        fail(REFUSED, f"{output} is there already", "add --force to replace it, or name another")
    with errors_worded():
        plan = make_plan(profile, keys, keep=not dry_run)
        with open_source(source) as opened:
            volume_id = DEMO_VOLUME_ID if opened.demonstration else VOLUME_ID
            medium = Medium(volume_id, opened.demonstration, opened.grub_linux, opened.grub_initrd)
            files = tree(plan, medium, templates())
            if not dry_run:
                _write(output, files, opened, volume_id, force=force, quiet=quiet)
            demonstration = opened.demonstration
    if as_json:
        _say_json(output, plan, files, written=not dry_run)
    else:
        _say(output, plan, files, demonstration, written=not dry_run)


def _write(
    output: Path,
    files: dict[str, bytes],
    source: "Source",
    volume_id: str,
    *,
    force: bool,
    quiet: bool,
) -> None:
    from builder.media.boot import expected_bytes, verify_boot_medium, write_boot_medium
    from builder.media.output import replacing

    with replacing(output, force=force, size=expected_bytes(files, source)) as out:
        with progress(f"writing {output}", quiet=quiet) as tell:
            write_boot_medium(
                out, files, source, volume_id=volume_id, when=build_time(), progress=tell
            )
        out.flush()
        verify_boot_medium(Path(out.name), files, volume_id, source)


def _say_json(output: Path, plan: "Plan", files: dict[str, bytes], *, written: bool) -> None:
    result(
        "ksbuild/iso/1",
        output=str(output) if written else None,
        sha256=_sha256(output) if written else None,
        plan_digest=plan.digest,
        files={path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
    )


def _say(
    output: Path, plan: "Plan", files: dict[str, bytes], demonstration: bool, *, written: bool
) -> None:
    click.echo(f"pair {plan.pair.name}, plan {plan.digest}")
    if not written:
        for path, content in files.items():
            click.echo(f"  {len(content):8}  {path}")
        click.echo("dry run: nothing was written")
        return
    click.echo(f"{_sha256(output)}  {output}")
    if demonstration:
        click.echo(
            "This is a DEMONSTRATION: it boots and finds its kickstart, and installs nothing.\n"
            "next, for a medium that installs: make iso PROFILE=pair.toml SOURCE=EL9.iso"
        )
    else:
        click.echo(
            "next: write it to a USB stick (dd) or give it to each server's BMC as virtual media,\n"
            "      boot, and choose the server's own entry"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
