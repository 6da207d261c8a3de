"""The ticket by which a node that was installed anew may come back to its pair, once.

It names one throw-away certificate that stands in no relation to the pair's CA, so it opens the
sessions of its own kind and nothing else. The node that issued it keeps this record, without the
key; whoever holds the key first shows a key pair of its own, and to that the ticket is then bound.
"""

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Optional

from firstboot import facts, files, strictjson

PATH = Path("etc/ksbuild/pair/ticket.json")
SCHEMA = "ksbuild/ticket/1"  # of the file that goes to the builder
LOCK = Path("run/ksnode-ticket.lock")


@dataclass(frozen=True)
class Ticket:
    """What the node that issued it keeps. Times are seconds, `issued` and `expires` since 1970.

    `deadline` is when it expires by the clock of the boot `boot_id`, which nobody can set; any
    other boot has only the wall clock. `bound` is sha256 of the public keys it was used for first.
    """

    certificate: str
    issued: int
    expires: int
    boot_id: str
    deadline: int
    bound: str = ""


def shut(ticket: Ticket, boot_id: str, now: float, monotonic: float) -> str:
    """Why the ticket opens nothing any more, "" while it does. Pure."""
    expired = f"it expired at {_shown(ticket.expires)}"
    if boot_id == ticket.boot_id:
        return expired if monotonic >= ticket.deadline else ""
    if now < ticket.issued:
        return "the clock was set back behind the time when it was issued"
    return expired if now >= ticket.expires else ""


def until(ticket: Ticket) -> str:
    """What the other node may do by it, and how long, for people."""
    return f"may come back by a ticket until {_shown(ticket.expires)}"


def issue(root: Path, certificate: str, valid_s: int) -> Ticket:
    """Record a ticket, durable before this returns; one issued before opens nothing from now on."""
    now, monotonic = int(time.time()), int(time.monotonic())
    ticket = Ticket(certificate, now, now + valid_s, facts.boot_id(root), monotonic + valid_s)
    with _locked(root):
        _save(root, ticket)
    return ticket


def opened(root: Path) -> Optional[Ticket]:
    """The ticket that can be used now; None when there is none, or no more."""
    ticket = _load(root)
    if ticket is None or shut(ticket, facts.boot_id(root), time.time(), time.monotonic()):
        return None
    return ticket


def reason(root: Path) -> str:
    """Why none can be used now."""
    ticket = _load(root)
    if ticket is None:
        return "there is none, or it is used up"
    return shut(ticket, facts.boot_id(root), time.time(), time.monotonic())


def bind(root: Path, keys: str) -> bool:
    """Whether the open ticket is that of whoever shows these public keys (their sha256).

    The first to ask is the one, durable before this returns.
    """
    with _locked(root):
        ticket = opened(root)
        if ticket is not None and not ticket.bound:
            ticket = replace(ticket, bound=keys)
            _save(root, ticket)
        return ticket is not None and ticket.bound == keys


def use_up(root: Path, named: str) -> None:
    """Remove the ticket of that mark, durably; without one nothing happens."""
    with _locked(root):
        ticket = _load(root)
        if ticket is not None and mark(ticket.certificate) == named:
            (root / PATH).unlink()
            files.sync_folder((root / PATH).parent)


def mark(certificate: str) -> str:
    """What tells one ticket from another, and is no secret."""
    return hashlib.sha256(certificate.strip().encode()).hexdigest()


def _shown(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _load(root: Path) -> Optional[Ticket]:
    try:
        raw = json.loads((root / PATH).read_text(encoding="ascii"))
        ticket: Ticket = strictjson.value(Ticket, raw, PATH.name)
    except (FileNotFoundError, ValueError):
        return None  # what can't be read opens nothing
    return ticket


def _save(root: Path, ticket: Ticket) -> None:
    text = json.dumps(asdict(ticket), sort_keys=True) + "\n"
    files.replace(root / PATH, text.encode(), 0o600)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One change at a time: the agent binds and removes what a human may replace meanwhile."""
    files.make_folder((root / LOCK).parent)
    with (root / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
