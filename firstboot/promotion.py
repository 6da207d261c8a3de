"""Whose data pacemaker may promote: bans of DRBD's handlers and of humans, and how they end."""

import re
import time
from typing import Optional

from firstboot.commands import Run
from firstboot.node import Identity
from firstboot.pacemaker import Cluster, change, configuration, forget
from firstboot.render import cib

_CLEAR = ("crm_resource", "--clear", "--resource", cib.DRBD_CLONE, "--node")
_RULE = f"//rsc_location[@id='{cib.FENCED}-{cib.DRBD_CLONE}']"


def keep_unpromoted(run: Run, node: str) -> None:
    """Have DRBD demoted, and not promoted, on a node, until let_promote(): crm_resource(8)."""
    ban = ("--ban", "--promoted", "--resource", cib.DRBD_CLONE, "--node", node)
    change(run, "crm_resource", *ban)


def let_promote(run: Run, node: str) -> None:
    """Take back what holds that node back where both have the same data; there need be nothing."""
    change(run, *_CLEAR, node)
    forget(run, _RULE)


def call_newest(run: Run, identity: Identity) -> None:
    """Let this node be promoted, and nobody else until it has this node's data. May be repeated.

    When nodes that lived apart meet, pacemaker takes the configuration with the higher admin_epoch
    whole (Pacemaker Explained, "Configuration Version"): minutes since 1970 are that of the node
    which was told so last.
    """
    found = re.search(r'<cib [^>]*\badmin_epoch="(\d+)"', configuration(run))
    epoch = max(int(time.time()) // 60, int(found[1]) + 1 if found else 0)
    change(run, "cibadmin", "--modify", "--xml-text", f'<cib admin_epoch="{epoch}"/>')
    forget(run, _RULE)
    place = ("--create", "--scope", "constraints", "--xml-text")
    change(run, "cibadmin", *place, cib.newest(identity))
    change(run, *_CLEAR, identity.node)


def barred(state: Optional[Cluster], node: str) -> list[str]:
    """The constraints by which DRBD is not promoted there."""
    return sorted(id_ for where, id_ in (state.bans if state else ()) if where == node)


def known_older(bans: list[str]) -> bool:
    """Whether DRBD's handler on the other node is among those who barred this one."""
    return any(id_.startswith(cib.FENCED) for id_ in bans)


def way_out(node: str) -> str:
    """What a human types where both nodes have the same data."""
    return f'{" ".join((*_CLEAR, node))}; cibadmin --delete-all --force --xpath "{_RULE}"'
