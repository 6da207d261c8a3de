"""ksbuild reinstall"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.outcome import ENVIRONMENT, REFUSED, errors_worded, fail
from builder.cli.planning import Prepared, prepare
from builder.cli.serve import STATE, VALID, open_store

if TYPE_CHECKING:
    from builder.serve.store import Key, Store


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.argument("node")
@VALID
@STATE
@click.option("--keys", type=click.Path(path_type=Path), help="Default: PROFILE.keys/ beside it.")
@click.option("--force", is_flag=True, help="Also a node that met its peer: both are to be anew.")
def reinstall(
    profile: Path, node: str, valid: float, state: Path, keys: Path | None, force: bool
) -> None:
    """Let NODE be installed anew over the network, once.

    Its next start from the network then installs its operating system anew, without asking; its
    data partition stays. A node that met its peer already comes back by a ticket instead: what a
    profile alone introduces, its peer takes no more.
    """
    import sqlite3

    from builder.serve.store import unusable

    expires = time.time() + valid
    with errors_worded():
        prepared = prepare(profile, keys, keep=True, node=node)
        store = open_store(state)
        try:
            with store.transaction():
                _allow_again(store, prepared, profile, node, expires, force=force)
        except sqlite3.Error as error:
            worse = unusable(state, error)
            fail(ENVIRONMENT, str(worse), worse.hint)
        finally:
            store.close()
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(expires))
    click.echo(f"{node} may be installed anew until {until}; next: start it from the network")


def _allow_again(
    store: "Store", prepared: Prepared, profile: Path, node: str, expires: float, *, force: bool
) -> None:
    from builder.plan import tokens
    from builder.serve.store import Key

    known = Key(prepared.profile.pair.id, node)
    allowance = store.allowance(known)
    if allowance is None:
        fail(REFUSED, f"the state does not know {node}", f"ksbuild serve {profile} first")
    if not force and _met(store, known):
        fail(
            REFUSED,
            f"{node} has met its peer, which takes it back by a ticket alone",
            _ticket(profile, node),
        )
    generation = allowance.generation + 1
    token = tokens.kickstart(prepared.serve_key(), node, generation)
    store.allow_again(known, generation, tokens.digest(token), expires)


def _met(store: "Store", key: "Key") -> bool:
    """Whether the node has told that both have their long-term secrets."""
    from builder.serve.events import FINISHED

    said = store.stages(key.pair).get(key.node, {}).get("secrets")
    return said is not None and said.event in FINISHED


def _ticket(profile: Path, node: str) -> str:
    return (
        f"on its peer: ksnode allow-rejoin --out ticket; then here: ksbuild pxe {profile} "
        f"--rejoin {node} --ticket ticket; or, where both nodes are to be installed anew, --force"
    )
