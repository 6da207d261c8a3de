"""Which medium `ksbuild iso` makes, and the writer of each kind."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.outcome import PROFILE, SOURCE, fail
from builder.cli.progress import progress

if TYPE_CHECKING:
    from builder.media.source import Source
    from builder.packages.extras import Extras
    from builder.plan.bootmenu import Medium
    from builder.profile.model import Profile

VOLUME_ID, DEMO_VOLUME_ID = "KSBUILD", "KSBUILD-DEMO"
MODES = {
    "patch": "the source itself with the kickstarts on it; a DVD needs no network",
    "boot": "a small medium of its own; the installer comes from install.url",
    "oemdrv": "a tiny companion for an unmodified source in a second drive",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the medium goes, and how: `md5` is implant or drop, `quiet` shows no progress.

    `when` is the date of all that is written, seconds since 1970.
    """

    output: Path
    md5: str
    force: bool
    quiet: bool
    when: int


def default_mode(source: "Source") -> str:
    """The source's own mode: a demonstration has nothing worth keeping but its loaders."""
    return "boot" if source.demonstration else "patch"


def default_output(profile: Path, node: str | None, source: "Source") -> Path:
    """PROFILE[-NODE].iso in this folder; a demonstration's name says what it is."""
    one = f"-{node}" if node else ""
    return Path(f"{'demo-' * source.demonstration}{profile.stem}{one}.iso")


def choose_medium(
    profile: "Profile", source: "Source", mode: str, node: str | None, *, with_stage2: bool = False
) -> "Medium":
    """What the tree has to know of the medium; fails where it could not install."""
    from builder.media.boot import STAGE2
    from builder.media.oemdrv import LABEL
    from builder.plan.bootmenu import Medium

    own = DEMO_VOLUME_ID if source.demonstration else VOLUME_ID
    labels = {"boot": own, "patch": source.volume_id, "oemdrv": LABEL}
    stage2 = (mode != "boot" or with_stage2) and source.has(STAGE2)
    if with_stage2 and not stage2:
        fail(SOURCE, f"the source has no {STAGE2}", "leave --with-stage2 out, or use an EL9 ISO")
    dvd = mode != "boot" and stage2 and source.has("BaseOS/repodata/repomd.xml")
    if not dvd and profile.install.url is None and not source.demonstration:
        hint = "give install.url, or a DVD as --source" + (" and --mode patch" * (mode == "boot"))
        fail(PROFILE, "this installs from the network, and the profile has no install.url", hint)
    return Medium(
        volume_id=labels[mode],
        demonstration=source.demonstration,
        grub_linux=source.grub_linux,
        grub_initrd=source.grub_initrd,
        stage2=stage2,
        dvd=dvd,
        menus=mode != "oemdrv",
        node=node,
    )


def write_boot(
    target: Target,
    files: dict[str, bytes],
    source: "Source",
    medium: "Medium",
    extras: "Extras | None" = None,
) -> None:
    """A small medium from scratch, with the loaders, kernel and initrd of `source`."""
    from builder.media.boot import expected_bytes, verify_boot_medium, write_boot_medium
    from builder.media.output import replacing

    output, label, more = target.output, medium.volume_id, extras.files if extras else {}
    size = expected_bytes(files, source, more, stage2=medium.stage2)
    with replacing(output, force=target.force, size=size) as out:
        with progress(f"writing {output}", quiet=target.quiet) as tell:
            write_boot_medium(
                out,
                files,
                source,
                volume_id=label,
                when=target.when,
                stage2=medium.stage2,
                extras=more,
                progress=tell,
            )
        out.flush()
        verify_boot_medium(Path(out.name), files, label, source, more, stage2=medium.stage2)


def write_patched(
    target: Target,
    files: dict[str, bytes],
    source: Path,
    extras: "Extras | None" = None,
    *,
    dry_run: bool,
) -> None:
    """The source with `files` laid over it; `dry_run` only finds out whether that can be."""
    from builder.media.patch.medium import patch_medium
    from builder.media.patch.menus import check_tree
    from builder.media.patch.planning import plan_patch

    more = extras.files if extras else {}
    if dry_run:
        check_tree(files, target.md5)
        with source.open("rb") as file:
            size = source.stat().st_size
            plan_patch(file.fileno(), size, files, more, when=target.when, force=target.force)
        return
    with progress(f"writing {target.output}", quiet=target.quiet) as tell:
        patch_medium(
            target.output,
            files,
            source,
            when=target.when,
            extras=more,
            md5="drop" if target.md5 == "drop" else "implant",
            force=target.force,
            progress=tell,
        )


def write_companion(target: Target, files: dict[str, bytes]) -> None:
    """A volume that Anaconda looks at by its label, beside an unmodified medium."""
    from builder.media.oemdrv import verify_oemdrv, write_oemdrv
    from builder.media.output import replacing

    with replacing(target.output, force=target.force) as out:
        write_oemdrv(out, files, when=target.when)
        out.flush()
        verify_oemdrv(Path(out.name), files)
