"""Look at this node's half, and ask the peer for its own. Reads only.

The peer's agent answers whoever asks in a session of the pair's; it looks in the background, for a
session is shorter than libvirt or a disk may take.
"""

import contextlib
import json
import logging
import os
import re
import secrets
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Optional

from firstboot import data, drbd, gfs2, latches, mount, pacemaker, promotion, virsh
from firstboot.commands import NOT_FOUND, CommandError, Run
from firstboot.journal import STATE
from firstboot.node import Identity
from firstboot.rendezvous.credentials import PAIR
from firstboot.rendezvous.session import NotMet
from firstboot.splitbrain import telling
from firstboot.splitbrain.half import Half, from_json, to_json
from firstboot.steps import Context

log = logging.getLogger(__name__)

TOPIC = "half"  # private
RECORD = STATE / "resolve.json"  # what a human typed here, until it is done
PATIENCE_S, ASK_AGAIN_S = 60.0, 0.5
DMESG = ("dmesg", "--time-format", "iso")
# What DRBD says when it finds that both wrote, and when they are one again, in either dialect.
_PARTED = re.compile(r"^(\S+) .*\bdrbd.*Split-Brain detected.*dropping connection", re.MULTILINE)
_MET = re.compile(r"^(\S+) .*\bdrbd.*-> (?:SyncSource|SyncTarget)", re.MULTILINE)


def look(identity: Identity, root: Path, run: Run) -> Half:
    """This node's half. Raises CommandError or OSError when DRBD's answer makes no sense."""
    status = drbd.status(run, root, drbd9=identity.pair.has("drbd9"))
    place = identity.pair.gfs2.mount
    return Half(
        node=identity.node,
        up=status is not None,
        connection=status.replication if status else "",
        role=status.role if status else "",
        disk=status.disk if status else "",
        generations=_generations(run) if status else (),
        written_kib=status.out_of_sync_kib if status else 0,
        mounted=mount.options(mount.table(root), place) is not None,
        guests=_guests(run),
        last_write=_last_write(data.device(root, identity)),
        parted=parted(run),
        gives_way=record(root).get("discard") == identity.node,
    )


def parted(run: Run) -> str:
    """When DRBD last found a split brain that was not resolved since, "" where it tells none."""
    text = run(DMESG, ok=(0, 1, NOT_FOUND)).stdout
    found, met = list(_PARTED.finditer(text)), list(_MET.finditer(text))
    if not found or (met and met[-1].start() > found[-1].start()):
        return ""
    with contextlib.suppress(ValueError):
        at = datetime.strptime(found[-1][1], "%Y-%m-%dT%H:%M:%S,%f%z")
        return _utc(at.timestamp())
    return ""


def reasons(identity: Identity, root: Path, run: Run) -> "list[dict[str, str]]":
    """What `ksnode why` has to name: a split brain of a complete node, or one half resolved."""
    if not latches.is_set(root, latches.COMPLETE):
        return []
    try:
        status = drbd.status(run, root, drbd9=identity.pair.has("drbd9"))
    except (CommandError, OSError):
        return []  # what is wrong with DRBD its step tells
    at = parted(run) if status is not None and not status.connected else ""
    bans = promotion.barred(pacemaker.status(run), identity.node)
    return telling.reasons(identity, status, at, record(root), bans)


def record(root: Path) -> "dict[str, Any]":
    """What was begun here and not finished; empty when nothing was."""
    try:
        said = json.loads((root / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


class Teller:
    """The peer's question, answered whatever this node's agent is doing."""

    def __init__(self, identity: Identity, root: Path, run: Run) -> None:
        self._look: Callable[[], Half] = lambda: look(identity, root, run)
        self._lock = threading.Lock()
        self._asked = ""
        self._half: Optional[dict[str, Any]] = None

    def answer(self, kind: str, told: "dict[str, Any]") -> "dict[str, Any]":
        """By topic what to add to the answer to a peer that told this in a session of that kind."""
        asked = told.get(TOPIC)
        name = asked.get("asks") if isinstance(asked, dict) else None
        if kind != PAIR or not isinstance(name, str):
            return {}
        with self._lock:
            if name != self._asked:
                self._asked, self._half = name, None
                threading.Thread(target=self._find, args=(name,), daemon=True).start()
            return {TOPIC: {"asks": name, "half": self._half}}

    def _find(self, name: str) -> None:
        try:
            half = to_json(self._look())
        except (CommandError, OSError) as error:
            log.warning("the peer asked for this node's half, which cannot be told: %s", error)
            return
        with self._lock:
            if name == self._asked:
                self._half = half


def ask(context: Context, *, sleep: Callable[[float], None] = time.sleep) -> Optional[Half]:
    """The peer's half as of now; None when it does not answer, or tells none."""
    name, left_s = secrets.token_hex(8), PATIENCE_S
    context.meeting.tell(TOPIC, {"asks": name}, private=True)
    with contextlib.suppress(NotMet, OSError):
        while left_s > 0:
            context.meeting.ask()
            told = context.meeting.heard(TOPIC, private=True)
            if not isinstance(told, dict) or told.get("asks") != name:
                return None  # it takes no such question
            if told.get("half") is not None:
                return from_json(told["half"], context.identity.peer.name)
            sleep(ASK_AGAIN_S)
            left_s -= ASK_AGAIN_S
    return None


def _generations(run: Run) -> "tuple[str, ...]":
    try:
        return tuple(f"{number:016x}" for number in drbd.generations(drbd.get_gi(run)))
    except (CommandError, ValueError):
        return ()  # no disk, no generations


def _guests(run: Run) -> "Optional[tuple[str, ...]]":
    try:
        return tuple(virsh.guests(run))
    except CommandError:
        return None


def _last_write(partition: Path) -> str:
    """Of the file system below DRBD, whose data begin where the partition begins."""
    try:
        handle = os.open(partition, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        # DRBD writes past the partition's pages, which may hold what was read before.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        at = gfs2.last_write(lambda offset, length: os.pread(handle, length, offset))
    except (OSError, gfs2.NotGfs2):
        return ""
    finally:
        os.close(handle)
    return "" if at is None else _utc(at)


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
