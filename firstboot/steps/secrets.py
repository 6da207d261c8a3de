"""Long-term secrets: made on the nodes, exchanged once, and then the medium opens nothing more.

By the introduction only certificates travel: the second node's request, and the first one's CA and
signature. The secrets themselves go through sessions of the leaves so made. A node that has stored
everything says so for ever; one that hears it sets its latch and refuses the introduction. As the
other then has its leaf, it can follow whenever it comes back (tests/pair/test_secrets_machine).

A node that was installed by a ticket makes nothing of the pair's: it takes all from the one that
lives on, whichever of the two that is (firstboot/rendezvous/admission).
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from firstboot import files, latches
from firstboot.configfile import ConfigFile
from firstboot.engine import Refused, Step
from firstboot.render import fencedevice, sshd
from firstboot.render.hosts import on_bond
from firstboot.rendezvous import authority, credentials, store, ticket
from firstboot.rendezvous.credentials import LEAF, SHARED
from firstboot.steps import Context
from firstboot.steps.meet import wait_for_peer


class Secrets(Step):
    """Pair CA, two leaves for each node, corosync's authkey, DRBD's secret, SSH host keys."""

    name = "secrets"
    barrier = True

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep
        self._store = store.Store(context.root)
        self._rejoins = credentials.holds_ticket(context.root)
        self._makes = context.identity.first and not self._rejoins
        self._asks: list[str] = []  # the second node's requests, by this run of the agent
        self._signed: tuple[list[str], list[str]] = ([], [])  # the last ones signed, their leaves

    def remark(self) -> str:
        """Until when the other node, installed anew, may come back."""
        given = ticket.opened(self._context.root)
        return f"{self._context.identity.peer.name} {ticket.until(given)}" if given else ""

    def check(self) -> Sequence[str]:
        """Whether both nodes are known to have stored everything, and ssh knows the peer.

        Tells the peer what is here.
        """
        gone = self._store.missing()
        if self._latched():
            if gone:
                raise Refused(
                    f"both nodes had stored the pair's secrets; gone here: {', '.join(gone)}",
                    "restore them from a backup, or on the peer: ksnode allow-rejoin, and install"
                    " this node with that",
                )
            self._tell_shared()
            return files.differing(self._context.root, [self._known()])
        return [*gone, f"{self._context.identity.peer.name} has not said that it stored them all"]

    def apply(self) -> None:
        """Make what is this node's to make, then give and take until both have all of it."""
        self._make_own()
        wait_for_peer(self._context, self.name, self.advance, sleep=self._sleep)
        self.make_known()

    def make_known(self) -> None:
        """Let ssh know the peer by its host keys."""
        files.write(self._context.root, [self._known()])

    def advance(self) -> bool:
        """Take what the peer told, tell what is here; True once both have stored everything.

        Raises Refused when the peer's certificates are not what they should be.
        """
        if self._latched():
            self._tell_shared()
            return True
        try:
            self._exchange_leaf()
        except authority.NotACertificate as error:
            peer = self._context.identity.peer.name
            raise Refused(f"{peer} sent {error}", f"on {peer}: journalctl -u ksnode") from None
        told = self._context.meeting.heard(SHARED, private=True)
        self._take_shared(told)
        mine = self._store.digest()
        if mine and isinstance(told, dict) and told.get("stored") == mine and self._ended(told):
            ca = hashlib.sha256(self._store.ca.read_bytes()).hexdigest()
            latches.set_once(
                self._context.root, latches.SECRETS_STORED, json.dumps({"ca": ca}) + "\n"
            )
        self._tell_shared()
        return self._latched()

    def _known(self) -> ConfigFile:
        """The peer's host keys, where ssh looks for them."""
        return sshd.known_hosts(self._context.identity, store.text(self._store.peer_host_keys))

    def _ended(self, told: dict[str, Any]) -> bool:
        """Whether our ticket, if there is one, opens nothing any more."""
        return not self._rejoins or told.get("open") is False

    def _latched(self) -> bool:
        return latches.is_set(self._context.root, latches.SECRETS_STORED)

    def _make_own(self) -> None:
        """Each file once, in an order in which a cut between any two is mended by going on."""
        run, at = self._context.run, self._store
        for key, _, _ in self._leaves(self._context.identity.node):
            if not key.exists():
                at.drop_leaf()
                authority.make_key(run, key)
        server = self._context.root / "usr/sbin/sshd"
        if server.exists() and not store.host_keys(self._context.root):
            run(["ssh-keygen", "-A", "-f", str(self._context.root)])
        if self._makes:
            self._make_ca()
            for name, value in _new_shared().items():
                if not at.secret(name).exists():
                    at.put(at.secret(name), value)

    def _make_ca(self) -> None:
        run, at, identity = self._context.run, self._store, self._context.identity
        if not at.ca_key.exists():
            at.drop_leaf()
            at.ca.unlink(missing_ok=True)
            authority.make_key(run, at.ca_key)
        if not at.ca.exists():
            at.drop_leaf()
            name = f"ksbuild pair {identity.pair.id}"
            at.put(at.ca, authority.sign_itself(run, at.ca_key, name))
        if not (at.leaf.exists() and at.guests_leaf.exists()):
            at.drop_leaf()
            for key, leaf, name in self._leaves(identity.node):
                asked = authority.request(run, key, name)
                at.put(leaf, authority.sign(run, at.folder, asked, name))

    def _leaves(self, node: str) -> tuple[tuple[Path, Path, str], ...]:
        """Key, leaf and name in it, the node's own last: once that is there, all of them are.

        QEMU and libvirt's server show the other on the bond. A guest that broke out can read its
        key, so it must not open what the node's does.
        """
        at = self._store
        return ((at.guests_key, at.guests_leaf, on_bond(node)), (at.key, at.leaf, node))

    def _exchange_leaf(self) -> None:
        heard = self._context.meeting.heard(LEAF)
        told = heard if isinstance(heard, dict) else {}
        answer = self._sign_for(told) if self._makes else self._take_leaf(told)
        self._context.meeting.tell(LEAF, answer)

    def _sign_for(self, told: dict[str, Any]) -> dict[str, Any]:
        """The first node's side: the CA, and the peer's leaves if it asks for them."""
        names = [name for _, _, name in self._leaves(self._context.identity.peer.name)]
        asked = told.get("asks")
        if asked and asked != self._signed[0]:
            requests = authority.pems(asked, "CERTIFICATE REQUEST", len(names))
            run, folder = self._context.run, self._store.folder
            leaves = [authority.sign(run, folder, *pair) for pair in zip(requests, names)]
            self._signed = (requests, leaves)
        asked, leaves = self._signed
        return {"ca": store.text(self._store.ca), "for": asked, "leaves": leaves}

    def _take_leaf(self, told: dict[str, Any]) -> dict[str, Any]:
        """The second node's side: requests, as long as it has no leaves of the first node's CA.

        A first node that was installed again has another CA; before the latch it is followed.
        Raises Refused when the node that issued our ticket does.
        """
        run, at = self._context.run, self._store
        mine = self._leaves(self._context.identity.node)
        whole = at.leaf.exists() and at.guests_leaf.exists()
        if whole and told.get("ca") in (None, store.text(at.ca)):
            return {"asks": []}
        if self._rejoins and isinstance(told.get("refused"), str):
            raise self._turned_away(told["refused"])
        if not self._asks:
            self._asks = [authority.request(run, key, name) for key, _, name in mine]
        if told.get("for") == self._asks:
            ca = authority.pem(told.get("ca"), "CERTIFICATE")
            leaves = authority.pems(told.get("leaves"), "CERTIFICATE", len(mine))
            for (key, _, name), leaf in zip(mine, leaves):
                authority.check_leaf(run, ca, leaf, key, name)
            at.drop_leaf()
            at.put(at.ca, ca)
            for (_, target, _), leaf in zip(mine, leaves):
                at.put(target, leaf)
            return {"asks": []}
        return {"asks": self._asks}

    def _turned_away(self, why: str) -> Refused:
        peer = self._context.identity.peer.name
        return Refused(
            f"{peer} gives no certificate for this ticket: {ascii(why)[1:-1][:200]}",
            f"on {peer}: ksnode allow-rejoin, then install this node with that",
        )

    def _take_shared(self, told: Any) -> None:
        at = self._store
        peers = store.valid_host_keys(told)
        known = at.peer_host_keys
        if peers is not None and not (known.exists() and store.text(known) == peers):
            at.put(known, peers)
        shared = None if self._makes else store.valid_shared(told)
        if shared is not None and self._rejoins:
            names = {d.secret for d in fencedevice.devices(self._context.identity.pair)}
            shared = {
                **store.valid_fence(told, names),
                **shared,
            }  # stored before we say we have all
        for name, value in (shared or {}).items():
            if store.text(at.secret(name)) != value:
                at.put(at.secret(name), value)

    def _tell_shared(self) -> None:
        """What is here, the secrets only until both nodes have them."""
        at = self._store
        told: dict[str, Any] = {
            "host_keys": store.host_keys(self._context.root),
            "stored": at.digest(),
        }
        if self._rejoins:
            own = store.text(
                self._context.root / credentials.FOLDERS[credentials.REJOIN] / "node.crt"
            )
            told["ticket"] = ticket.mark(own)
        if self._makes and not self._latched():
            told.update({name: store.text(at.secret(name)) for name in store.SHARED})
        self._context.meeting.tell(SHARED, told, private=True)


def _new_shared() -> dict[str, str]:
    return {
        "authkey": base64.b64encode(secrets.token_bytes(256)).decode(),
        "drbd": secrets.token_hex(24),
    }
