"""A node that comes back takes over what was proven of fencing: nothing is cut off in production.

Each direction is looked at anew, by whoever would fire in it: the device answers, says "on", and is
the other node's. What the rehearsal itself proved is taken from the node that lives on; of its own
direction it vouches only for the BMC that it fired at then.
"""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from firstboot import latches
from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.fencing import afterwards, aim
from firstboot.journal import STATE
from firstboot.rendezvous.credentials import PAIR
from firstboot.steps import Context

TOPIC, VOUCHED = "fencing", "vouched"  # both private
LOOK_AGAIN_S = 20.0
REHEARSED = STATE / "rehearsed.json"  # of `ksnode rehearse`, on a complete pair


class Voucher:
    """What the node that lives on says to one that comes back, whatever its own agent is doing.

    BMCs are slow, so they are asked in the background and the last finding is told.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._refused: Optional[str] = None
        self._next_look = 0.0

    def answer(self, kind: str, told: dict[str, Any]) -> dict[str, Any]:
        """By topic what to add to the answer to a peer that told this in a session of that kind."""
        peers = told.get(TOPIC)
        proven = latches.is_set(self._context.root, latches.FENCING_PROVEN)
        if kind != PAIR or not proven or not isinstance(peers, dict) or not peers.get("inherits"):
            return {}
        with self._lock:
            if time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + LOOK_AGAIN_S
                threading.Thread(target=self._look, args=(peers,), daemon=True).start()
            return {VOUCHED: {"refused": self._refused}}

    def _look(self, peers: dict[str, Any]) -> None:
        refused = objection(self._context, peers)
        with self._lock:
            self._refused = refused


def objection(context: Context, told: dict[str, Any]) -> str:
    """Why this node has to prove its direction again to a peer that told this, "" when it has not.

    Reads only.
    """
    powers = afterwards.powers(context)
    try:
        guids = powers[0].guids()
        aim.check_target(context.identity, context.root, told, powers, guids)
    except (Refused, CommandError, OSError) as error:
        return str(error)
    if sorted(guids) not in _proven_guids(context.root):
        named = ", ".join(guids) or "no UUID"
        return f"{powers[0].name} answers with {named}, and with another when it was proven"
    return ""


def take_over(context: Context, told: dict[str, Any], guids: Sequence[str]) -> bool:
    """Latch what the peer, which told this, has vouched for; False while it has not said a word.

    `guids` are what our devices for the peer name. Raises Refused or CommandError.
    """
    me, peer = context.identity.node, context.identity.peer.name
    vouched = context.meeting.heard(VOUCHED, private=True)
    refused = vouched.get("refused") if isinstance(vouched, dict) else None
    if not isinstance(refused, str):
        return False
    if refused:
        raise Refused(
            f"{peer} does not vouch for its fencing of {me}: {ascii(refused)[1:-1][:300]}",
            f"on {peer}: ksnode rehearse {me}",
        )
    powers = afterwards.powers(context)
    aim.check_target(context.identity, context.root, told, powers, guids)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    proof = {"at": at, "by": f"{powers[0].name}, taken over from {peer}", "guids": sorted(guids)}
    text = json.dumps(proof, sort_keys=True) + "\n"
    latches.set_once(context.root, latches.FENCING_PROVEN, text)
    return True


def _proven_guids(root: Path) -> list[list[str]]:
    """What the BMCs named by which this node is known to have cut its peer's power."""
    found = []
    for path in (STATE / latches.FENCING_PROVEN, REHEARSED):
        try:
            guids = json.loads((root / path).read_text(encoding="utf-8")).get("guids")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(guids, list):
            found.append(sorted(map(str, guids)))
    return found
