"""Where kickstarts/ and profiles/ lie: inside the installed package, or beside it in a checkout."""

import functools
import shlex
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import jinja2

from builder.plan.agent import archive


def folder(name: str) -> Path:
    """The folder `kickstarts` or `profiles`. Raises FileNotFoundError in a broken installation."""
    package = Path(__file__).parent
    for place in (package / name, package.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{name}/ is neither in nor beside {package}: install ksbuild anew")


@functools.cache
def templates() -> jinja2.Environment:
    """The kickstart and boot menu templates; an unknown variable in one is an error.

    Read and compiled once: that takes longer than all that is rendered from them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("kickstarts")),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - kickstarts and shell, quoted by the filters ks and sh
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # pykickstart splits lines with shlex, so one quoting serves kickstart arguments and shell.
    environment.filters["ks"] = environment.filters["sh"] = shlex.quote
    return environment


@functools.cache
def agent_archive() -> bytes:
    """The agent as a node runs it, packed once for all pairs of a run."""
    return archive(agent_sources())


def agent_sources() -> dict[str, bytes]:
    """The agent's modules: path inside the archive -> source."""
    return dict(sorted(_modules(files("firstboot"), "firstboot")))


def _modules(place: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in place.iterdir():
        name = f"{prefix}/{entry.name}"
        if entry.is_dir():
            found += _modules(entry, name)
        elif entry.name.endswith(".py"):
            found.append((name, entry.read_bytes()))
    return found
