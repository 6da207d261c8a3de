"""ksbuild serve"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.booting import Tree, lay_out, read_tree
from builder.cli.outcome import ENVIRONMENT, PROFILE, REFUSED, errors_worded, fail, result
from builder.cli.planning import prepare
from builder.cli.tree import pool_of, tree_url

if TYPE_CHECKING:
    from builder.plan import Plan
    from builder.plan.bootanswer import Images
    from builder.profile.model import Profile
    from builder.serve.catalog import Catalog
    from builder.serve.run import Settings
    from builder.serve.store import Store

EXTRA = "in ksbuild's folder: pip install '.[serve]'"
DEFAULT_STATE = "ksbuild-serve.sqlite"
STATE = click.option(
    "--state", type=click.Path(path_type=Path), default=DEFAULT_STATE, help="Default: here."
)
_UNITS = {"m": 60, "h": 3600, "d": 86400}
CLEAR_TEXT = (
    "warning: plain HTTP, so whoever listens on this network reads the kickstarts: password hashes,"
    " SSH public keys, a registration file's activation key, and the keys that introduce the nodes"
    " to each other (they open nothing any more once the pair is formed), the tokens, and the page;"
    " next: --certificate and --key"
)


def _duration(_: click.Context, __: click.Parameter, value: str) -> float:
    """30m, 8h or 2d as seconds, at most 30 days."""
    found = re.fullmatch(r"(\d{1,4})([mhd])", value)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 60 <= seconds <= 30 * 86400:
        raise click.BadParameter(f"{value!r} is not a time such as 30m, 8h or 2d")
    return float(seconds)


def _listen(_: click.Context, __: click.Parameter, value: str) -> tuple[str, int]:
    """ADDRESS:PORT, an IPv6 address in brackets; without them, and the port."""
    import ipaddress

    host, _colon, port = value.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
        number = int(port)
        if not 0 <= number < 65536:
            raise ValueError
    except ValueError:
        raise click.BadParameter(f"{value!r} is not ADDRESS:PORT, such as 10.0.0.2:8080") from None
    return address, number


VALID = click.option(
    "--valid", callback=_duration, default="1d", help="How long kickstarts are served."
)


@click.command()
@click.argument("profiles", metavar="PROFILE...", nargs=-1, required=True, type=Path)
@click.option("--listen", callback=_listen, required=True, help="ADDRESS:PORT to answer on.")
@click.option("--url", help="How nodes and people reach it. Default: what --listen says.")
@click.option("--tree", help="Installation tree over HTTP, where the profile has no install.url.")
@click.option(
    "--boot",
    metavar="TREE",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="What ksbuild pxe made: loaders, kernel and packages come from it.",
)
@click.option("--dnsmasq", is_flag=True, help="With --boot: start dnsmasq for TFTP and DHCP.")
@click.option("--pool", metavar="FIRST-LAST", help="With --dnsmasq: be the only DHCP server.")
@click.option("--certificate", type=click.Path(path_type=Path), help="For HTTPS: PEM, the chain.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key.")
@VALID
@click.option("--refetch", callback=_duration, default="30m", help="As long after the first fetch.")
@click.option("--webhook", help="URL that is told what finished and what failed.")
@STATE
@click.option("--keys", type=click.Path(path_type=Path), help="Of a single PROFILE, as for iso.")
@click.option("--json", "as_json", is_flag=True, help="Where it serves as JSON, once it does.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
def serve(
    profiles: tuple[Path, ...],
    listen: tuple[str, int],
    url: str | None,
    tree: str | None,
    boot: Path | None,
    dnsmasq: bool,
    pool: str | None,
    certificate: Path | None,
    key: Path | None,
    valid: float,
    refetch: float,
    webhook: str | None,
    state: Path,
    keys: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Serve kickstarts, and a page that shows how far nodes are.

    A node may be installed once: its kickstart is for that node's installer, for a while, until the
    node says that it is installed; from then on its boot loader is told to start the disk, until
    somebody types ksbuild reinstall. The nodes of media whose profile has [progress] url tell it
    as well. Ends with Ctrl-C, and goes on where it was when it is started again.
    """
    _need_extra()
    from builder.serve.run import Settings

    if keys and len(profiles) > 1:
        raise click.UsageError("--keys is for one PROFILE; each of several has PROFILE.keys/")
    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key go together")
    if webhook is not None and not re.fullmatch(r"https?://\S+", webhook):
        raise click.UsageError("--webhook is http://... or https://...")
    if boot is None and (dnsmasq or pool):
        raise click.UsageError("--dnsmasq and --pool need --boot TREE")
    if boot is not None and (tree or certificate):
        raise click.UsageError("--boot is instead of --tree, and firmware knows no --certificate")
    base = _base(listen, url, secure=certificate is not None)
    settings = Settings(*listen, base, state, valid, refetch, certificate, key, webhook)
    with errors_worded():
        found = read_tree(boot, tree_url(base), state, listen[0]) if boot else None
        asked = _Asked(profiles, keys, tree, found, pool_of(pool), dnsmasq)
        _serve(settings, asked, as_json=as_json, quiet=quiet)
    if not quiet:
        click.echo(f"stopped; {state} knows how far everything is", err=True)


def _need_extra() -> None:
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        fail(ENVIRONMENT, f"serve needs a package that is not there: {error.name}", EXTRA)
    del starlette, uvicorn


def _base(listen: tuple[str, int], url: str | None, *, secure: bool) -> str:
    from builder.profile.values import SERVER_URL

    address, port = listen
    if url is None:
        if address in ("0.0.0.0", "::"):  # noqa: S104 - told apart, not listened on
            raise click.UsageError(
                f"{address} is every address: name the one nodes use, with --url"
            )
        host = f"[{address}]" if ":" in address else address
        scheme, usual = ("https", 443) if secure else ("http", 80)
        url = f"{scheme}://{host}" + (f":{port}" if port != usual else "")
    if not re.fullmatch(SERVER_URL, url):
        raise click.UsageError("--url is just http://HOST:PORT or https://HOST:PORT")
    return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is served: `tree` is the URL of an installation tree, `boot` a folder of ksbuild pxe."""

    profiles: tuple[Path, ...]
    keys: Path | None
    tree: str | None
    boot: Tree | None
    pool: tuple[str, str] | None
    dnsmasq: bool


def _serve(settings: "Settings", asked: _Asked, *, as_json: bool, quiet: bool) -> None:
    import ssl

    from builder.serve.catalog import catalog
    from builder.serve.run import bind, check_certificate, serve

    say = _silent if quiet else _say
    try:
        check_certificate(settings)
    except ssl.SSLError as error:
        where = f"{settings.certificate}, {settings.key}"
        fail(ENVIRONMENT, f"{where}: {error.reason or error}", "a PEM certificate and its own key")
    try:
        plans = _plans(asked, settings, say)
        served = catalog(plans, _images(asked, settings))
    except ValueError as error:
        fail(PROFILE, str(error), "serve each pair once, from one profile")
    try:
        listening = bind(settings.address, settings.port)
    except OSError as error:
        where = f"{settings.address} port {settings.port}"
        fail(ENVIRONMENT, f"{where}: {error.strerror}", "an address of this machine, a free port")
    with listening:
        _allow(settings, served)
        if settings.certificate is None:
            click.echo(CLEAR_TEXT, err=True)
        announce = partial(_announce, settings, served, as_json=as_json, quiet=quiet)
        boots = None
        if asked.boot:
            boots = lay_out(asked.boot, served, asked.pool, dnsmasq=asked.dnsmasq)
        serve(settings, served, listening, say, _say, announce, boots)


def _images(asked: _Asked, settings: "Settings") -> "Callable[[Profile], Images]":
    """Where nodes get kernel and installer from, and by HTTPS whom to believe."""
    from builder.plan import bootanswer
    from builder.serve.trust import PATH

    if asked.boot:
        return asked.boot.images
    if settings.certificate is None:
        return bootanswer.images
    trust = f"{settings.base}/{PATH}"
    return lambda profile: replace(bootanswer.images(profile), trust=trust)


def _allow(settings: "Settings", served: "Catalog") -> None:
    """Note in the state which nodes may be installed."""
    import sqlite3

    from builder.serve.run import allow
    from builder.serve.store import StoreError, unusable

    store = open_store(settings.state, make=True)
    try:
        allow(store, served, time.time() + settings.valid_s)
    except StoreError as error:
        fail(REFUSED, str(error), error.hint)
    except sqlite3.Error as error:
        worse = unusable(settings.state, error)
        fail(ENVIRONMENT, str(worse), worse.hint)
    finally:
        store.close()


def _plans(
    asked: _Asked, settings: "Settings", say: Callable[[str], None]
) -> "Iterator[tuple[Plan, str, str]]":
    """Each pair's plan for the network, its key, and the profile's file."""
    from builder.plan.kickstart import from_tree

    base = settings.base
    tree = base if asked.boot and asked.boot.dvd else asked.tree
    for profile in asked.profiles:
        prepared = prepare(profile, asked.keys, keep=True)
        if prepared.profile.install.url is None and tree is None:
            fail(
                PROFILE,
                f"{profile} has no install.url",
                "name the tree with --tree URL or --boot TREE",
            )
        if tree is not None:
            prepared = prepared.changed(from_tree(prepared.profile, tree))
        if settings.certificate is not None:
            prepared = prepared.shown(settings.certificate)
        yield prepared.plan(told=base), prepared.serve_key(), str(profile)
        say(f"{profile}: kickstarts are rendered")


def _announce(settings: "Settings", served: "Catalog", *, as_json: bool, quiet: bool) -> None:
    from builder.plan import tokens

    first = next(iter(served.nodes.values()))
    page = f"{settings.base}/see/{tokens.page(first.secret)}/"
    ipxe = f"{settings.base}/boot/${{mac}}/ipxe"
    grub = f"(http,{settings.base.partition('://')[2]})/boot/$net_default_mac/grub.cfg"
    if as_json:
        pairs = [{"name": pair.name, "nodes": pair.nodes} for pair in served.pairs.values()]
        values = {"page": page, "ipxe": ipxe, "grub": grub, "state": str(settings.state)}
        result("ksbuild/serve/1", url=settings.base, pairs=pairs, **values)
    elif not quiet:
        click.echo(f"page: {page}\niPXE: chain {ipxe}\nGRUB: configfile {grub}")


def open_store(path: Path, *, make: bool = False) -> "Store":
    """The server's state; fails where the file is none."""
    from builder.serve.store import Store, StoreError

    try:
        return Store(path, make=make)
    except StoreError as error:
        fail(ENVIRONMENT, str(error), error.hint)


def _say(line: str) -> None:
    """A line for whoever looks; that nobody does any more keeps no node waiting."""
    with contextlib.suppress(OSError):
        click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


def _silent(_: str) -> None:
    """Nothing is said."""
