"""ksbuild doctor and ksbuild completion"""

import os
import shutil
import sys
from pathlib import Path

import click

from builder.cli.outcome import ENVIRONMENT, result

ROOM = 1024**3
NEEDED = (
    *("click", "cryptography", "jinja2", "libpass", "pycdlib", "pydantic", "pykickstart"),
    "requests",
)
TEMPLATES = ("kickstarts", "profiles")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def doctor(as_json: bool) -> None:
    """Check what a build needs on this machine.

    Python, libraries, templates, room.
    """
    checks = [_python(), *(_library(name) for name in NEEDED)]
    checks += [*(_folder(name) for name in TEMPLATES), _room()]
    if as_json:
        result(
            "ksbuild/doctor/1", checks=[dict(zip(("ok", "what"), c, strict=True)) for c in checks]
        )
    else:
        for good, what in checks:
            click.echo(f"{'ok  ' if good else 'BAD '} {what}")
    if not all(good for good, _ in checks):
        raise SystemExit(ENVIRONMENT)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: eval "$(ksbuild completion bash)"
    """
    from click.shell_completion import get_completion_class

    from builder.cli import main

    maker = get_completion_class(shell)
    assert maker, "click has all three"  # noqa: S101
    click.echo(maker(main, {}, "ksbuild", "_KSBUILD_COMPLETE").source())


def _python() -> tuple[bool, str]:
    return sys.version_info >= (
        3,
        11,
    ), f"Python {'.'.join(map(str, sys.version_info[:3]))}, 3.11 is needed"


def _library(name: str) -> tuple[bool, str]:
    from importlib import metadata

    try:
        return True, f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return False, f"{name} is not installed; next, in ksbuild's folder: pip install ."


def _folder(name: str) -> tuple[bool, str]:
    from builder.resources import folder

    try:
        return True, f"{name}/ of ksbuild: {len(list(folder(name).iterdir()))} entries"
    except FileNotFoundError as error:
        return False, str(error)


def _room() -> tuple[bool, str]:
    free = shutil.disk_usage(Path.cwd()).free
    writable = os.access(Path.cwd(), os.W_OK)
    text = (
        f"{free // 1024**2} MiB free here, {ROOM // 1024**2} MiB serve any medium but a DVD's copy"
    )
    return free >= ROOM and writable, text if writable else "this folder cannot be written to"
