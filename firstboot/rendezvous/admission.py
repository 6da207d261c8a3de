"""Letting a node come back that was installed anew: what the other one answers it.

By the ticket's sessions only certificates travel, as by the introduction; the secrets go through
the pair's own, to a peer that says it has not stored them. Nothing here needs a turn of the agent:
each answer follows from the question and the disk, so a crash of either is mended by asking again.
"""

import hashlib
import logging
import threading
from pathlib import Path
from typing import Any

from firstboot import files, latches
from firstboot.commands import CommandError, Run
from firstboot.node import Identity
from firstboot.render import fencedevice, sshd
from firstboot.render.hosts import on_bond
from firstboot.rendezvous import authority, store, ticket
from firstboot.rendezvous.credentials import LEAF, PAIR, REJOIN, SHARED

log = logging.getLogger(__name__)


class Admission:
    """Answers by kind of session, on a node that has all of the pair's secrets."""

    def __init__(self, identity: Identity, root: Path, run: Run) -> None:
        self._identity = identity
        self._root = root
        self._run = run
        self._store = store.Store(root)
        self._lock = threading.Lock()
        self._signed: tuple[list[str], list[str]] = ([], [])

    def answer(self, kind: str, told: dict[str, Any]) -> dict[str, Any]:
        """By topic what to add to the answer to a peer that told this; nothing before the latch."""
        if kind not in (REJOIN, PAIR) or not latches.is_set(self._root, latches.SECRETS_STORED):
            return {}
        if not self._store.digest():
            return {}
        with self._lock:
            if kind == REJOIN:
                return {LEAF: self._certificates(told.get(LEAF))}
            return {SHARED: self._secrets(told.get(SHARED))}

    def _certificates(self, told: Any) -> dict[str, Any]:
        ca = store.text(self._store.ca)
        asked = told.get("asks") if isinstance(told, dict) else None
        if not asked:
            return {"ca": ca, "for": [], "leaves": []}
        try:
            if asked != self._signed[0]:
                self._signed = self._sign(asked)
        except (authority.NotACertificate, CommandError) as error:
            log.warning("what came by the ticket is not signed: %s", error)
            return {"refused": "the requests are no requests"}
        if not ticket.bind(self._root, self._keys(self._signed[1])):
            why = "another installation uses this ticket, or it has just expired"
            log.warning("a request by the ticket was refused: %s", why)
            return {"refused": why}
        return {"ca": ca, "for": asked, "leaves": self._signed[1]}

    def _sign(self, asked: Any) -> tuple[list[str], list[str]]:
        """Leaves for the peer; of no use to it until they are handed out."""
        peer = self._identity.peer.name
        names = (on_bond(peer), peer)
        requests = authority.pems(asked, "CERTIFICATE REQUEST", len(names))
        folder = self._store.folder
        leaves = [authority.sign(self._run, folder, *pair) for pair in zip(requests, names)]
        return requests, leaves

    def _keys(self, leaves: list[str]) -> str:
        public = "".join(authority.public_key(self._run, leaf) for leaf in leaves)
        return hashlib.sha256(public.encode()).hexdigest()

    def _secrets(self, told: Any) -> dict[str, Any]:
        at, said = self._store, told if isinstance(told, dict) else {}
        mine = at.digest()
        answer: dict[str, Any] = {"host_keys": store.host_keys(self._root), "stored": mine}
        if said.get("stored") == "":
            answer.update({name: store.text(at.secret(name)) for name in store.SHARED})
            answer["fence"] = fence_passwords(self._identity, self._root)
        peers = store.valid_host_keys(said)
        if peers and peers != store.text(at.peer_host_keys):
            at.put(at.peer_host_keys, peers)
            files.write(self._root, [sshd.known_hosts(self._identity, peers)])
        named = said.get("ticket")
        if isinstance(named, str):
            if said.get("stored") == mine:
                ticket.use_up(self._root, named)
            given = ticket.opened(self._root)
            answer["open"] = given is not None and ticket.mark(given.certificate) == named
        return answer


def fence_passwords(identity: Identity, root: Path) -> dict[str, str]:
    """Secret's name -> password of every fence device that this node knows one of."""
    names = {device.secret for device in fencedevice.devices(identity.pair)}
    there = [name for name in sorted(names) if (root / files.SECRETS / name).exists()]
    return {name: store.text(root / files.SECRETS / name) for name in there}
