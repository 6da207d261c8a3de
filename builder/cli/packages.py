"""Whether everything that will be installed is there, before the installer finds out."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from builder.media.source import Source
    from builder.packages.model import Problem, Repository
    from builder.profile.model import Profile

# What Anaconda installs besides %packages on every machine.
_ALWAYS = ("kernel",)


def check_packages(profile: "Profile", source: "Source | None") -> "list[Problem]":
    """What stands in the way of installing %packages; empty when nothing does.

    Asks the source's own repositories, then install.url and install.repositories. Raises
    RepositoryError when one of them cannot be read.
    """
    from builder.packages.resolve import resolve
    from builder.plan.kickstart import PACKAGES

    wanted = sorted({*PACKAGES, *profile.install.packages, *_ALWAYS})
    found = resolve(_repositories(profile, source), wanted)
    return list(found.problems)


def say_packages(problems: "list[Problem]") -> bool:
    """Tell each problem on standard error; whether one of them would stop the installation."""
    for problem in problems:
        level = "error" if problem.fatal else "warning"
        click.echo(f"packages: {level}: {problem.text}", err=True)
        if problem.hint:
            click.echo(f"  hint: {problem.hint}", err=True)
    return any(problem.fatal for problem in problems)


def _repositories(profile: "Profile", source: "Source | None") -> "list[Repository]":
    from builder.packages.medium import read_source
    from builder.packages.web import read_url

    found = list(read_source(source)) if source is not None else []
    places = {"install.url": profile.install.url} if not found else {}
    places |= {r.name: r.url for r in profile.install.repositories}
    for name, url in places.items():
        if url is not None and url.startswith(("http://", "https://")):
            found.append(read_url(url, name=name))
    return found
