"""ksbuild iso"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.build_time import build_time
from builder.cli.outcome import PROFILE, REFUSED, SOURCE, errors_worded, fail, result
from builder.cli.packages import check_packages, say_packages
from builder.cli.planning import make_plan
from builder.cli.progress import progress
from builder.cli.sourcing import source_path

if TYPE_CHECKING:
    from builder.media.source import Source
    from builder.plan import Plan
    from builder.plan.bootmenu import Medium

VOLUME_ID, DEMO_VOLUME_ID = "KSBUILD", "KSBUILD-DEMO"
MODES = ("boot", "patch", "oemdrv")


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--source", required=True, help="EL9 ISO: a file or an https address.")
@click.option("--mode", type=click.Choice(MODES), default="boot", help="As above; default: boot.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: PROFILE.iso here.")
@click.option("--keys", type=click.Path(path_type=Path), help="Default: PROFILE.keys/ beside it.")
@click.option("--md5", type=click.Choice(["implant", "drop"]), default="implant", help="For patch.")
@click.option("--sha256", help="Checksum of a downloaded source.")
@click.option("--checksum-file", help="The distribution's CHECKSUM: a file or an https address.")
@click.option("--no-verify-source", is_flag=True, help="Take a download without a checksum.")
@click.option("--offline", is_flag=True, help="Do not ask the repositories for the packages.")
@click.option("--force", is_flag=True, help="Replace OUTPUT.")
@click.option("--dry-run", is_flag=True, help="Check and render everything, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def iso(
    profile: Path,
    source: str,
    mode: str,
    output: Path | None,
    keys: Path | None,
    md5: str,
    sha256: str | None,
    checksum_file: str | None,
    no_verify_source: bool,
    offline: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a bootable ISO that installs either node of PROFILE's pair.

    \b
    boot    a small medium of its own; the installer comes from install.url
    patch   the source itself with the kickstarts on it; a DVD needs no network
    oemdrv  a tiny companion for an unmodified source in a second drive

    Same profile, source, keys and SOURCE_DATE_EPOCH: same bytes.
    """
    from builder.media.source import open_source
    from builder.plan import tree
    from builder.resources import templates

    output = output or Path(profile.with_suffix(".iso").name)
    if output.exists() and not (force or dry_run):
        fail(REFUSED, f"{output} is there already", "add --force to replace it, or name another")
    with errors_worded():
        plan = make_plan(profile, keys, keep=not dry_run)
        path = source_path(
            source,
            sha256=sha256,
            checksum_file=checksum_file,
            verify=not no_verify_source,
            quiet=quiet,
        )
        with open_source(path) as opened:
            medium = _medium(plan, opened, mode)
            if not (offline or medium.demonstration):
                _packages(plan, opened)
            files = tree(plan, medium, templates())
            if not dry_run and mode == "boot":
                _boot(output, files, opened, medium.volume_id, force=force, quiet=quiet)
        if not dry_run and mode == "patch":
            _patch(output, files, path, md5, force=force, quiet=quiet)
        if not dry_run and mode == "oemdrv":
            _oemdrv(output, plan, medium, files, force=force)
    if as_json:
        _say_json(output, plan, files, mode, written=not dry_run)
    else:
        _say(output, plan, files, medium, mode, written=not dry_run)


def _medium(plan: "Plan", source: "Source", mode: str) -> "Medium":
    from builder.media.oemdrv import LABEL
    from builder.plan.bootmenu import Medium

    own = DEMO_VOLUME_ID if source.demonstration else VOLUME_ID
    labels = {"boot": own, "patch": source.volume_id, "oemdrv": LABEL}
    from_network = mode == "boot" or not source.has("BaseOS/repodata/repomd.xml")
    if from_network and plan.profile.install.url is None and not source.demonstration:
        hint = "give install.url, or a DVD with --mode patch"
        fail(PROFILE, "this installs from the network, and the profile has no install.url", hint)
    return Medium(
        volume_id=labels[mode],
        demonstration=source.demonstration,
        grub_linux=source.grub_linux,
        grub_initrd=source.grub_initrd,
        stage2=mode != "boot" and source.has("images/install.img"),
    )


def _packages(plan: "Plan", source: "Source") -> None:
    """Refuse what could not be installed whole; repositories out of reach are only warned of."""
    from builder.packages.errors import RepositoryError

    try:
        problems = check_packages(plan.profile, source)
    except RepositoryError as error:
        hint = "ksbuild validate --online, where the repositories can be reached; or --offline"
        click.echo(
            f"ksbuild: warning: the packages are not checked: {error}\n  hint: {hint}", err=True
        )
        return
    if say_packages(problems):
        fail(SOURCE, "not everything can be installed", "add what the hints name, or --offline")


def _boot(
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
            when = build_time()
            write_boot_medium(out, files, source, volume_id=volume_id, when=when, progress=tell)
        out.flush()
        verify_boot_medium(Path(out.name), files, volume_id, source)


def _patch(
    output: Path, files: dict[str, bytes], source: Path, md5: str, *, force: bool, quiet: bool
) -> None:
    from builder.media.patch.medium import patch_medium

    with progress(f"writing {output}", quiet=quiet) as tell:
        patch_medium(
            output,
            files,
            source,
            when=build_time(),
            md5="drop" if md5 == "drop" else "implant",
            force=force,
            progress=tell,
        )


def _oemdrv(
    output: Path, plan: "Plan", medium: "Medium", files: dict[str, bytes], *, force: bool
) -> None:
    from builder.media.oemdrv import verify_oemdrv, write_oemdrv
    from builder.media.output import replacing
    from builder.plan import manifest

    flat = {path: text for path, text in files.items() if "/" not in path}  # no boot menus
    del flat[manifest.PATH]
    flat[manifest.PATH] = manifest.render(plan.pair, medium, flat)
    with replacing(output, force=force) as out:
        write_oemdrv(out, flat, when=build_time())
        out.flush()
        verify_oemdrv(Path(out.name), flat)


def _say_json(
    output: Path, plan: "Plan", files: dict[str, bytes], mode: str, *, written: bool
) -> None:
    result(
        "ksbuild/iso/1",
        output=str(output) if written else None,
        sha256=_sha256(output) if written else None,
        mode=mode,
        plan_digest=plan.digest,
        files={path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
    )


def _say(
    output: Path,
    plan: "Plan",
    files: dict[str, bytes],
    medium: "Medium",
    mode: str,
    *,
    written: bool,
) -> None:
    click.echo(f"pair {plan.pair.name}, plan {plan.digest}")
    if not written:
        for path, content in files.items():
            click.echo(f"  {len(content):8}  {path}")
        click.echo("dry run: nothing was written")
        return
    click.echo(f"{_sha256(output)}  {output}")
    if medium.demonstration:
        click.echo(
            "This is a DEMONSTRATION: it boots and finds its kickstart, and installs nothing.\n"
            "next, to see it boot: make try NODE=" + plan.pair.nodes[1].name + "\n"
            "next, for a medium that installs: make iso PROFILE=pair.toml SOURCE=EL9.iso"
        )
    elif mode == "oemdrv":
        click.echo("next: give each server the unmodified EL9 ISO in one drive and this in another")
    else:
        click.echo(
            "next: write it to a USB stick (dd) or give it to each server's BMC as virtual media,\n"
            "      and boot each server from it"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
