"""ksnode allow-rejoin: a ticket by which the other node, installed anew, may come back once.

The ticket holds no secret but its own key, which opens nothing when it is used up or has expired.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from firstboot import VERSION, files, hellos, latches
from firstboot.commands import CommandError, Run, run
from firstboot.engine import Refused
from firstboot.exits import FAILED, OK, REFUSED
from firstboot.node import Identity, plan_digest
from firstboot.rendezvous import authority, store, ticket

SHORTEST_S, LONGEST_S = 60, 7 * 24 * 3600
UNITS = {"m": 60, "h": 3600, "d": 24 * 3600}


def allow_rejoin(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Write the ticket, 0600, or print it; REFUSED leaves everything as it was."""
    peer, output = identity.peer.name, arguments.out
    try:
        made = make(identity, root, duration_s(arguments.duration), run, output)
    except Refused as refusal:
        print(f"ksnode: {refusal.evidence}\nnext: {refusal.way_out}", file=sys.stderr)
        return REFUSED
    except (CommandError, OSError) as error:
        print(f"ksnode: {error}\nnext: ksnode allow-rejoin once more", file=sys.stderr)
        return FAILED
    if output is None:
        print(made, end="")
    where = output or "TICKET"
    print(
        f"ksnode: {peer} may come back once, for {arguments.duration} from now\n"
        f"next, where the profile is: ksbuild iso PROFILE --source ISO --rejoin {peer}"
        f" --ticket {where}",
        file=sys.stderr,
    )
    return OK


def duration_s(typed: str) -> int:
    """60m, 8h or 2d in seconds. Raises Refused."""
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", typed)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise Refused(f"{typed!r} is not between 1m and 7d", "ksnode allow-rejoin --for 60m")
    return seconds


def make(identity: Identity, root: Path, valid_s: int, run: Run, output: Any = None) -> str:
    """The ticket's text, written to `output` as well if there is one; recorded before that.

    A ticket made before opens nothing from then on. Raises Refused, CommandError or OSError.
    """
    at = store.Store(root)
    if not latches.is_set(root, latches.SECRETS_STORED):
        raise Refused(
            "this pair has no secrets yet that a node could come back to",
            "install the other node from the pair's own medium; ksnode status",
        )
    if gone := at.missing():
        raise Refused(f"gone here: {', '.join(gone)}", "restore them from a backup")
    if output is not None and Path(output).exists():
        raise Refused(f"{output} is there already", "name another: --out FILE")
    key, certificate = _one_time(root, identity.peer.name, run)
    recorded = ticket.issue(root, certificate, valid_s)
    content = {
        "schema": ticket.SCHEMA,
        "agent": VERSION,
        "pair": identity.pair.id,
        "plan": plan_digest(identity.pair),
        "node": identity.peer.name,
        "ca": store.text(at.ca),
        "certificate": certificate,
        "key": key,
        "link_key": (root / hellos.KEY).read_text(encoding="ascii").strip(),
        "expires": recorded.expires,
    }
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    if output is not None:
        files.create(Path(output), text.encode(), 0o600)
    return text


def _one_time(root: Path, name: str, run: Run) -> tuple[str, str]:
    """A key and the certificate that vouches for itself; of the key nothing stays here."""
    files.make_folder(root / "run")
    with tempfile.TemporaryDirectory(prefix="ksnode-", dir=root / "run") as folder:
        path = Path(folder) / "key"
        authority.make_key(run, path)
        return store.text(path), authority.sign_itself(run, path, name, "leaf")
