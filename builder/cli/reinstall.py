"""ksbuild reinstall"""

import time
from pathlib import Path

import click

from builder.cli.outcome import REFUSED, errors_worded, fail
from builder.cli.planning import prepare
from builder.cli.serve import STATE, VALID, open_store


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.argument("node")
@VALID
@STATE
@click.option("--keys", type=click.Path(path_type=Path), help="Default: PROFILE.keys/ beside it.")
def reinstall(profile: Path, node: str, valid: float, state: Path, keys: Path | None) -> None:
    """Let NODE of PROFILE be installed anew over the network, once.

    Its next start from the network then installs its operating system anew, without asking; its
    data partition stays. A node that met its peer already needs a ticket instead: see the manual.
    """
    from builder.plan import tokens
    from builder.serve.store import Key

    with errors_worded():
        prepared = prepare(profile, keys, keep=True, node=node)
        store = open_store(state)
        known = Key(prepared.profile.pair.id, node)
        with store.transaction():
            allowance = store.allowance(known)
            if allowance is None:
                fail(REFUSED, f"{state} does not know {node}", f"ksbuild serve {profile} first")
            generation = allowance.generation + 1
            token = tokens.kickstart(prepared.serve_key(), node, generation)
            expires = time.time() + valid
            store.allow_again(known, generation, tokens.digest(token), expires)
        store.close()
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(expires))
    click.echo(f"{node} may be installed anew until {until}; next: start it from the network")
