"""Which leaf opens a session: the medium's introduction, until both nodes hold the pair's own.

A session names the kind of its leaves in the ClientHello (server_name), so that both sides know at
once which CA is meant. A node offers and accepts the pair's kind from the moment its own leaf is
stored, and the introduction as long as the latch "secrets-stored" is not set: whoever sets it knows
that the other has its leaf, so the two can always meet by one kind or the other.

A node that was installed by a ticket (ksnode allow-rejoin) has that in the introduction's place;
the one that issued it accepts sessions of this kind as long as the ticket is open.
"""

import ssl
from pathlib import Path
from typing import Any, Optional

from firstboot import latches
from firstboot.rendezvous import ticket

INTRODUCTION, PAIR, REJOIN = "introduction", "pair", "rejoin"
FOLDERS = {
    INTRODUCTION: Path("etc/ksbuild/introduction"),
    PAIR: Path("etc/ksbuild/pair"),
    REJOIN: Path("etc/ksbuild/rejoin"),
}
LEAF, SHARED = "leaf", "shared"  # topics: certificates by any kind, secrets by the pair's alone

# X509_V_FLAG_NO_CHECK_TIME (openssl x509_vfy.h): new hardware has no clock worth believing.
NO_CHECK_TIME = 0x200000


class Context(ssl.SSLContext):
    """A TLS context that knows the kind of its leaf."""

    kind = ""


def open_kinds(root: Path) -> tuple[str, ...]:
    """The kinds of session this node takes part in now, the one to try first in front."""
    pair = (PAIR,) if (root / FOLDERS[PAIR] / "node.crt").exists() else ()
    if latches.is_set(root, latches.SECRETS_STORED):
        return (*pair, REJOIN) if ticket.opened(root) else pair
    return (*pair, REJOIN if holds_ticket(root) else INTRODUCTION)


def holds_ticket(root: Path) -> bool:
    """Whether this node was installed by a ticket of its peer's."""
    return (root / FOLDERS[REJOIN] / "node.crt").exists()


def server_context(root: Path) -> ssl.SSLContext:
    """TLS 1.3; the caller names the kind, one that names none means the introduction.

    What is open is looked up at each call, so a kind closes while the responder runs.
    """

    def choose(connection: Any, name: Optional[str], _: ssl.SSLContext) -> Optional[int]:
        kind = name or INTRODUCTION
        if kind not in open_kinds(root):
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        try:
            connection.context = _with_leaf(ssl.PROTOCOL_TLS_SERVER, root, kind)
        except OSError:  # our own question to the peer meets the same file and says which
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        return None

    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = choose
    return context


def client_context(root: Path, kind: str) -> ssl.SSLContext:
    """The same, for the side that calls; it gives `kind` as the server's name.

    Names of nodes are checked by `peer_name`, on both sides alike.
    """
    return _with_leaf(ssl.PROTOCOL_TLS_CLIENT, root, kind)


def kind_of(connection: ssl.SSLSocket) -> str:
    """The kind of a session whose handshake is done."""
    context = connection.context
    return context.kind if isinstance(context, Context) else ""


def peer_name(connection: ssl.SSLSocket) -> Optional[str]:
    """The one node name in the certificate the other side proved to own; None if not just one."""
    certificate: Any = connection.getpeercert()
    names = [value for kind, value in (certificate or {}).get("subjectAltName", ())]
    return names[0] if len(names) == 1 else None


def refusal(kind: str, where: str, peer: str, reason: str) -> str:
    """Words for a leaf of that kind that was not accepted."""
    if kind == REJOIN and "UNRECOGNIZED_NAME" in reason:
        return (
            f"{peer} has no ticket open: the one of this medium is used up or expired;"
            f" next: on {peer}: ksnode allow-rejoin, then a medium made with that"
        )
    return f"{where} is not of this pair: {reason}"


def _with_leaf(protocol: int, root: Path, kind: str) -> Context:
    """Our leaf of that kind shown, a leaf of the same CA demanded."""
    context, folder = _context(protocol), root / FOLDERS[kind]
    context.kind = kind
    if kind == REJOIN and latches.is_set(root, latches.SECRETS_STORED):
        # The side that issued the ticket: our own leaf, and of the other that one certificate.
        given, folder = ticket.opened(root), root / FOLDERS[PAIR]
        if given is None:
            raise FileNotFoundError(f"no ticket is open: {ticket.reason(root)}")
        context.load_verify_locations(cadata=given.certificate)
    else:
        context.load_verify_locations(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(str(folder / "node.crt"), str(folder / "node.key"))
    return context


def _context(protocol: int) -> Context:
    context = Context(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= NO_CHECK_TIME
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # nobody resumes a session whose leaf is refused by now
    return context
