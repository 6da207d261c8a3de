"""ksbuild plan and ksbuild render"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.outcome import DIFFERENT, REFUSED, errors_worded, fail, result
from builder.cli.planning import make_plan, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.cli.planning import Prepared
    from builder.plan import Plan
    from builder.plan.bootmenu import Medium

KEYS = click.option("--keys", type=click.Path(path_type=Path), help="Default: PROFILE.keys/.")


@click.command("plan")
@click.argument("profile", type=click.Path(path_type=Path))
@KEYS
@click.option("--against", type=click.Path(path_type=Path), help="An earlier medium to compare.")
@click.option("--out", type=click.Path(path_type=Path), help="A new file, for `ksnode apply`.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON on standard output.")
def plan(
    profile: Path, keys: Path | None, against: Path | None, out: Path | None, as_json: bool
) -> None:
    """Say what will happen to each node of PROFILE's pair. Writes nothing but OUT.

    OUT holds no secret: copy it to both nodes of the living pair, and there: ksnode apply OUT.
    With --against, the exit status is 7 when the earlier medium differs.
    """
    from builder.plan.describe import as_json as to_json
    from builder.plan.describe import as_text
    from builder.plan.pairplan import render

    if out and out.exists():
        fail(REFUSED, f"{out} is there already", "name a new file with --out")
    with errors_worded():
        prepared = prepare(profile, keys, keep=False)
        made = prepared.plan()
        changed = _against(prepared, against) if against else []
        if out:
            out.write_bytes(render(made))
    if as_json:
        result("ksbuild/plan/1", **to_json(made), changes=changed)
    else:
        for line in (*as_text(made), *(["", f"against {against}:"] if against else []), *changed):
            click.echo(line)
        if against and not changed:
            click.echo("nothing differs")
    if changed:
        raise SystemExit(DIFFERENT)


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@KEYS
def render(profile: Path, out: Path, keys: Path | None) -> None:
    """Write each file of medium and nodes, secrets redacted.

    Below OUT, to be looked at and compared.
    """
    from builder.plan import node_files, tree
    from builder.plan.bootmenu import Medium
    from builder.plan.redact import redact
    from builder.resources import templates

    if out.exists():
        fail(REFUSED, f"{out} is there already", "name a new folder with --out")
    with errors_worded():
        made = make_plan(profile, keys, keep=False)
        medium = Medium("KSBUILD", False, "linuxefi", "initrdefi")
        files = {path: text.decode() for path, text in tree(made, medium, templates()).items()}
        files |= node_files(made)
        for path, text in files.items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_text(redact(text))
    click.echo(f"{out}: {len(files)} files")


def _against(prepared: "Prepared", earlier: Path) -> list[str]:
    from builder.media.inspect import read_tree
    from builder.plan import tree
    from builder.plan.describe import changes
    from builder.plan.manifest import PATH, read
    from builder.resources import templates

    old = read_tree(earlier)
    # Extra packages are no part of the plan: those that are there stay.
    extras = read(old[PATH]).get("extras")
    folder, network = (extras["folder"], extras["network"]) if extras else ("", True)
    made = prepared.plan(extras=folder, dvd=_is_dvd(old), network=network)
    return list(changes(old, tree(made, _medium(made, old), templates(), extras=extras)))


def _is_dvd(old: "Mapping[str, bytes]") -> bool:
    """Whether an earlier tree installs from what is on its medium."""
    from builder.plan.kickstart import MEDIUM_TREE
    from builder.plan.manifest import PATH, read

    tree = f"url --url={MEDIUM_TREE}".encode()
    return not read(old[PATH])["demonstration"] and tree in old["ks.cfg"].splitlines()


def _medium(made: "Plan", old: "Mapping[str, bytes]") -> "Medium":
    """The kind of medium an earlier tree was made for, so that only the plan's changes show."""
    from builder.plan.bootmenu import Medium
    from builder.plan.manifest import PATH, read

    said, menu = read(old[PATH]), old.get("EFI/BOOT/grub.cfg", b"")
    efi = "efi" if b"linuxefi" in menu else ""
    (one, *others) = said["nodes"]
    return Medium(
        said["volume_id"],
        said["demonstration"],
        f"linux{efi}",
        f"initrd{efi}",
        stage2=b"inst.stage2=hd:LABEL=" in menu,
        menus=bool(menu),
        node=None if others or one not in made.kickstarts else one,
    )
