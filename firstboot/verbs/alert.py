"""ksnode alert: whom this node tells what befalls the pair; --test tells them so."""

import argparse
import logging
import sys
from pathlib import Path

from firstboot import teller
from firstboot.commands import CommandError, run
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.node import Identity
from firstboot.render.alerts import AGENT

# As pacemaker runs it: what that user can't read or reach shows here as well.
AS_PACEMAKER = ("setpriv", "--reuid", teller.USER, "--regid", "haclient", "--init-groups")


def alert(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """A line for each way; with --test whether it went, by pacemaker's user and program."""
    logging.getLogger("firstboot.commands").setLevel(logging.WARNING)
    ways, missing = _ways(identity, root), teller.missing(identity, root)
    if not arguments.test:
        print("\n".join([*(ways or ["nobody is told"]), *missing]))
        return OK
    if missing or not ways:
        why = "; ".join(missing) or "the profile names nobody to tell"
        way = "ksnode run" if missing else "[alerts] in the profile, then ksnode apply"
        print(f"ksnode: {why}\nnext: {way}", file=sys.stderr)
        return REFUSED
    try:
        told = run([*AS_PACEMAKER, str(AGENT), "--test"], ok=(OK, FAILED))
    except CommandError as error:
        print(f"ksnode: {error}", file=sys.stderr)
        return FAILED
    print(told.stdout, end="")
    return told.returncode


def _ways(identity: Identity, root: Path) -> "list[str]":
    whom = identity.pair.alerts
    found = []
    if whom.mail_to:
        relay = f"{whom.relay}:{whom.relay_port}"
        found.append(f"mail: to {', '.join(whom.mail_to)} from {whom.mail_from} by {relay}")
    if whom.webhook_file:
        _, fault = teller.webhook(identity, root)
        found.append(f"webhook: {fault or f'to the URL in {whom.webhook_file}'}")
    if page := teller.page(root):
        found.append(f"progress page: {page['url']}")
    return found
