"""ksbuild init"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.outcome import ENVIRONMENT, REFUSED, errors_worded, fail

if TYPE_CHECKING:
    from builder.profile.new import Answers, Server


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--example", is_flag=True, help="The commented example, with an id of its own.")
@click.option(
    "--hardware",
    nargs=2,
    type=click.Path(path_type=Path),
    help='Two files that "Describe this server" wrote, the first node\'s first.',
)
@click.option("--force", is_flag=True, help="Replace PROFILE.")
def init(profile: Path, example: bool, hardware: tuple[Path, Path] | None, force: bool) -> None:
    """Write a new PROFILE: the example, or from a few questions."""
    if profile.exists() and not force:
        fail(REFUSED, f"{profile} is there already", "name another file, or add --force")
    with errors_worded():
        lines: list[str] = []
        if example:
            text = _example()
        elif sys.stdin.isatty() or hardware:
            text, lines = _asked(hardware)
        else:
            raise click.UsageError("without a terminal give --example or --hardware")
        profile.write_text(text, encoding="utf-8")
    click.echo(f"{profile} is written")
    for line in lines:
        click.echo(f"next: {line}")
    todo = "fill in what says FILL-IN, then: " if "FILL-IN" in text else ""
    click.echo(f"next: {todo}ksbuild validate {profile}")


def _example() -> str:
    import re
    import uuid

    from builder.resources import folder

    text = (folder("profiles") / "example.toml").read_text(encoding="utf-8")
    return re.sub(r'^id = "[^"]*" *#.*$', f'id = "{uuid.uuid4()}"', text, flags=re.MULTILINE)


def _asked(hardware: tuple[Path, Path] | None) -> tuple[str, list[str]]:
    """The profile, and what its folder needs beside it."""
    from builder.profile.new import Server, beside, text

    servers = [_described(path) for path in hardware] if hardware else [Server(), Server()]
    answers = _answers()
    return text(answers, servers), beside(answers)


def _described(path: Path) -> "Server":
    import tomllib

    from builder.profile.new import server

    try:
        return server(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, tomllib.TOMLDecodeError) as error:
        hint = 'give the file that the medium\'s "Describe this server" wrote'
        fail(ENVIRONMENT, f"{path}: {error}", hint)


def _answers() -> "Answers":
    from builder.packages.defaults import DISTRIBUTIONS
    from builder.profile.new import Answers

    def ask(question: str, default: str) -> str:
        return str(click.prompt(question, default=default, err=True))

    pair = ask("Name of the pair", "pair1")
    names = (ask("Name of the first node", "node1"), ask("Name of the second node", "node2"))
    first = ask("Address of the first node in the local network", "10.0.0.11/24")
    second = ask("Address of the second node", "10.0.0.12/24")
    gateway = ask("Gateway", "10.0.0.1")
    key = _public_key(ask)
    kinds = click.Choice(sorted(DISTRIBUTIONS))
    kind = click.prompt("Distribution", default="alma", type=kinds, err=True)
    return Answers(pair, names, (first, second), gateway, key, DISTRIBUTIONS[kind])


def _public_key(ask: Callable[[str, str], str]) -> str:
    """The line of a public key, asked for again where the file is something else, such as the
    private one; FILL-IN where there is no file."""
    from builder.profile.values import is_ssh_key

    while True:
        path = Path(ask("File with your SSH public key", "~/.ssh/id_ed25519.pub")).expanduser()
        try:
            line = path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return "FILL-IN"
        if is_ssh_key(line):
            return line
        click.echo(f"{path} holds no OpenSSH public key; its name ends with .pub", err=True)
