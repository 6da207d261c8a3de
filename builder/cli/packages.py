"""Whether everything that will be installed is there, before the installer finds out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli.outcome import REFUSED, SOURCE, fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from builder.cli.planning import Prepared
    from builder.media.source import Source
    from builder.packages.extras import Extras
    from builder.packages.model import Problem, Repository
    from builder.plan.kickstart import Key
    from builder.profile.model import Profile

# What Anaconda installs besides %packages on every machine.
_ALWAYS = ("kernel",)


EXTRA_PACKAGES = click.option(
    "--extra-packages",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Put this repository on the medium, for an installation without network.",
)


def check_packages(
    profile: "Profile",
    source: "Source | None",
    extras: "Extras | None" = None,
    *,
    network: bool = True,
) -> "list[Problem]":
    """What stands in the way of installing %packages; empty when nothing does.

    Asks the source's own repositories and the extra packages, then, with `network`, install.url
    and install.repositories. Raises RepositoryError when one of them cannot be read.
    """
    from builder.packages.known import unread
    from builder.packages.medium import read_source
    from builder.packages.resolve import resolve
    from builder.plan.kickstart import subscribed
    from builder.plan.packages import packages

    wanted = sorted({*packages(profile), *_ALWAYS})
    found = list(read_source(source)) if source is not None else []
    whole = bool(found)
    found += [extras.repository] if extras else []
    found += _on_the_web(profile, tree=not whole) if network else []
    problems = list(resolve(found, wanted).problems)
    return unread(problems, subscribed(profile)) if network else problems


def read_extras(
    keys: "Sequence[Key]", folder: Path | None, mode: str | None = None
) -> "Extras | None":
    """The repository for the medium, checked whole; None without one.

    Every package has to be signed by one of `keys`, when there are any.
    """
    from builder.packages.extras import extra_packages

    if folder is None:
        return None
    if mode == "oemdrv":
        fail(
            REFUSED,
            "an oemdrv companion takes no packages: Anaconda mounts it only to read ks.cfg",
            "add --mode patch, or serve the folder by http and name it in install.repositories",
        )
    return extra_packages(folder, [key_id for key in keys for key_id in key.key_ids])


def extras_worded(summary: "Mapping[str, Any]") -> "Iterator[str]":
    """What the manifest says of the extra packages, for people."""
    count, size = summary["packages"], summary["bytes"]
    yield f"{count} extra package{'s' * (count != 1)}, {size} bytes in {summary['folder']}/"
    if not summary["network"]:
        yield "all packages are on the medium: the installation needs no network, and asks none"


def need_network(
    prepared: "Prepared",
    source: "Source",
    extras: "Extras | None",
    *,
    dvd: bool,
    offline: bool,
) -> bool:
    """Whether the installation needs more than the medium; fails where even that is not enough.

    Without `dvd` the source's packages are not where the installer looks. Repositories out of reach
    are only warned of.
    """
    from builder.packages.errors import RepositoryError

    profile, there = prepared.profile, source if dvd else None
    if extras and dvd:
        lacking = check_packages(profile, there, extras, network=False)
        if prepared.registration is None and not any(problem.fatal for problem in lacking):
            say_packages(lacking)
            return False
        for problem in lacking:
            click.echo(f"ksbuild: the medium alone lacks: {problem.text}", err=True)
    if source.demonstration or offline:
        return True
    try:
        problems = check_packages(profile, there, extras)
    except RepositoryError as error:
        hint = "ksbuild validate --online, where the repositories can be reached; or --offline"
        click.echo(
            f"ksbuild: warning: the packages are not checked: {error}\n  hint: {hint}", err=True
        )
        return True
    if say_packages(problems, source.release):
        fail(SOURCE, "not everything can be installed", "add what the hints name, or --offline")
    return True


def say_packages(problems: "list[Problem]", release: str = "") -> bool:
    """Tell each problem on standard error; whether one of them would stop the installation.

    With the source's `release`, what is missing comes with the profile's line for its repository.
    """
    from builder.packages.defaults import profile_line

    for problem in problems:
        level = "error" if problem.fatal else "warning"
        click.echo(f"packages: {level}: {problem.text}", err=True)
        if problem.hint:
            click.echo(f"  hint: {problem.hint}", err=True)
        if line := profile_line(release, problem.home):
            click.echo(f"  hint: in install.repositories: {line}", err=True)
    return any(problem.fatal for problem in problems)


def _on_the_web(profile: "Profile", *, tree: bool) -> "list[Repository]":
    """Where the profile sends the installer over the network; to install.url with `tree` only."""
    from builder.packages.web import read_url

    places = {"install.url": profile.install.url} if tree else {}
    places |= {r.name: r.url for r in profile.install.repositories}
    return [
        read_url(url, name=name)
        for name, url in places.items()
        if url is not None and url.startswith(("http://", "https://"))
    ]
