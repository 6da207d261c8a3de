"""ksbuild keys and ksbuild hash-password"""

from pathlib import Path

import click

from builder.cli.outcome import ENVIRONMENT, errors_worded, fail, result


@click.group()
def keys() -> None:
    """What introduces the nodes of a pair to each other."""


@keys.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--keys", "folder", type=click.Path(path_type=Path), help="Default: PROFILE.keys/.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def show(profile: Path, folder: Path | None, as_json: bool) -> None:
    """Show the fingerprints (sha256) of the CA and of each node's certificate; never a key."""
    from builder.introduction import fingerprints

    folder = folder or profile.with_suffix(".keys")
    with errors_worded():
        found = fingerprints(folder)
    if not found:
        fail(ENVIRONMENT, f"{folder} holds no keys yet", f"ksbuild iso {profile} makes them")
    if as_json:
        result("ksbuild/keys/1", fingerprints=found)
        return
    for name, fingerprint in found.items():
        click.echo(f"{fingerprint}  {name}")


@click.command("hash-password")
def hash_password() -> None:
    """Ask for a password twice and print its hash.

    It is SHA-512 crypt's, for the profile's `password_hash` and `root_password_hash`.
    """
    from passlib.hash import sha512_crypt

    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    click.echo(sha512_crypt.hash(password))
