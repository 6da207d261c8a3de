"""Whom a node tells what befalls its pair: a part of node.Pair."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Alerts:
    """Mail by `relay` and its TCP port, and `webhook_file`, a file on the node with a URL.

    No `mail_to`: no mail. A URL may hold a token, so it stands in no plan.
    """

    mail_to: tuple[str, ...]
    mail_from: Optional[str]
    relay: Optional[str]
    relay_port: int
    webhook_file: Optional[str]
