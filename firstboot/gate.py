"""Whether a node that boots may start the cluster: the decision, and the record it rests on.

A node that fencing cuts off comes back, and would cut off the other for the same reason: so it
joins only while it can reach the peer, and not while it keeps being cut off. Waiting costs time,
never data: wait_for_all keeps a cluster of one from doing anything in any case.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from firstboot import files
from firstboot.journal import STATE

BOOTS, ENDED, SAYING = "boots.json", "ended", "gate.json"
WINDOW_S = 30 * 60
TOO_MANY = 2
_KEPT = 10


@dataclass(frozen=True)
class Boot:
    """One boot of this node: the kernel's id, when it was first seen (seconds since 1970), and
    whether the one before it ended without a shutdown.
    """

    id: str
    at: float
    unclean: bool


@dataclass(frozen=True)
class Decision:
    """Whether to start the cluster, and why not."""

    start: bool
    why: str = ""


def decide(boots: Sequence[Boot], now: float, peer: str, links: Sequence[str]) -> Decision:
    """Pure. `links` are those on which the peer answers."""
    recent = [boot for boot in boots if boot.unclean and now - boot.at < WINDOW_S]
    if len(recent) >= TOO_MANY:
        left = math.ceil((WINDOW_S - (now - recent[-TOO_MANY].at)) / 60)
        return Decision(
            False,
            f"{len(recent)} of this node's boots within {WINDOW_S // 60} minutes came without a"
            f" shutdown before them, as when nodes keep fencing each other; waiting {left} minutes",
        )
    if not links:
        return Decision(False, f"{peer} answers on no link; waiting for it")
    return Decision(True)


def recorded(boots: Sequence[Boot], boot_id: str, ended: str, now: float) -> tuple[Boot, ...]:
    """The record with this boot in it. Pure.

    `ended` is the boot that last ended cleanly. A first boot on record is taken for clean. What
    lies in the future has happened before now all the same: the clock was wrong then.
    """
    past = [replace(boot, at=min(boot.at, now)) for boot in boots]
    if not past or past[-1].id != boot_id:
        past.append(Boot(boot_id, now, unclean=bool(past) and past[-1].id != ended))
    return tuple(past[-_KEPT:])


def begin(root: Path, boot_id: str, now: float) -> tuple[Boot, ...]:
    """Record this boot, durable before this returns, and take back that it has ended."""
    ended = _text(root / STATE / ENDED).strip()
    boots = recorded(_read(root, now), boot_id, ended, now)
    files.make_folder(root / STATE)
    files.replace(root / STATE / BOOTS, _json([asdict(boot) for boot in boots]), 0o644)
    if ended == boot_id:
        (root / STATE / ENDED).unlink()
        files.sync_folder(root / STATE)
    return boots


def end(root: Path, boot_id: str) -> None:
    """Note that this boot ends by a shutdown, after the cluster has stopped."""
    files.make_folder(root / STATE)
    files.replace(root / STATE / ENDED, f"{boot_id}\n".encode(), 0o644)


def say(root: Path, boot_id: str, text: str) -> None:
    """Leave word for the agent's status of what the gate waits for."""
    files.replace(root / STATE / SAYING, _json({"boot": boot_id, "says": text}), 0o644)


def saying(root: Path, boot_id: str) -> str:
    """Why no cluster runs on a complete node, in the gate's words of this boot."""
    try:
        said: Any = json.loads(_text(root / STATE / SAYING))
        if said["boot"] == boot_id:
            return f"the cluster is not started: {said['says']}"
    except (ValueError, KeyError, TypeError):
        pass
    return "the cluster is not started; next: systemctl status ksbuild-gate"


def _read(root: Path, now: float) -> tuple[Boot, ...]:
    text = _text(root / STATE / BOOTS)
    if not text:
        return ()
    try:
        return tuple(
            Boot(str(b["id"]), float(b["at"]), b["unclean"] is not False) for b in json.loads(text)
        )
    except (ValueError, KeyError, TypeError):
        return (Boot("unreadable record", now, unclean=True),)  # better wait than loop


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True) + "\n").encode()
