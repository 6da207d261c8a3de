"""A living pair's ticket (`ksnode allow-rejoin`): what lets one node come back, installed anew.

It takes the introduction's place on that node's medium, so no keys folder is needed for it.
"""

import datetime
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from builder.errors import KeysError
from builder.plan.trust import Introduction, Leaf

SCHEMA = "ksbuild/ticket/1"
LINK_KEY = re.compile(r"ksbuild-link-[0-9a-f]{64}")
MOST_BYTES = 64 * 1024
_WORDS = ("agent", "ca", "certificate", "key", "link_key", "node", "pair", "plan", "schema")


@dataclass(frozen=True, slots=True, repr=False)
class Ticket:
    """A ticket that can be used: whose it is, the plan digest and agent its pair lives by."""

    node: str
    plan: str
    agent: str
    introduction: Introduction

    def check_plan(self, digest: str, agent: str) -> None:
        """Raises KeysError when a node installed by this plan would be refused by its peer."""
        if self.agent != agent:
            raise KeysError(
                f"the pair lives by ksbuild {self.agent}, this is {agent}",
                f"build with ksbuild {self.agent}",
            )
        if self.plan != digest:
            raise KeysError(
                f"the pair lives by plan {self.plan}, this profile makes {digest}",
                "build with the profile that the pair was installed by; compare it with the pair's"
                " node.json, /etc/ksbuild on either node",
            )


def read(path: Path, pair_id: str, node: str) -> Ticket:
    """The ticket at `path`, for `node` of that pair, not expired by this machine's clock.

    Raises KeysError where it is not that, or can be read by others, and OSError.
    """
    if path.stat().st_mode & 0o077:
        raise KeysError(f"{path} can be read by others", f"chmod 600 {path}")
    content = _content(path)
    again = f"on {content['node']}'s peer: ksnode allow-rejoin --out TICKET"
    if content["pair"] != pair_id:
        raise KeysError(f"{path} is of pair {content['pair']!r}, not of {pair_id}", again)
    if content["node"] != node:
        raise KeysError(
            f"{path} lets {content['node']!r} come back, not {node}", f"on the other node: {again}"
        )
    if time.time() >= content["expires"]:
        when = datetime.datetime.fromtimestamp(content["expires"], datetime.UTC)
        raise KeysError(f"{path} expired at {when:%Y-%m-%d %H:%M UTC}", again)
    leaf = Leaf(
        _certificate(path, content["certificate"]),
        _key(path, content["key"]),
        _certificate(path, content["ca"]),
        content["link_key"],
        kind="rejoin",
    )
    return Ticket(node, content["plan"], content["agent"], Introduction({node: leaf}))


def _content(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    try:
        content = json.loads(raw)
    except ValueError:
        raise _none(path) from None
    if not isinstance(content, dict) or not isinstance(content.get("schema"), str):
        raise _none(path)
    if content["schema"] != SCHEMA:
        raise KeysError(
            f"{path} is of version {content['schema']!r}, {SCHEMA} is understood",
            "build with the ksbuild of the same version as the pair's ksnode (ksnode --version)",
        )
    words = all(isinstance(content.get(word), str) for word in _WORDS)
    if not words or type(content.get("expires")) is not int:
        raise _none(path)
    if set(content) != {*_WORDS, "expires"} or not LINK_KEY.fullmatch(content["link_key"]):
        raise _none(path)
    return content


def _certificate(path: Path, text: str) -> str:
    """Written anew from what was read, for it stands in a kickstart."""
    try:
        found = x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise _none(path) from None
    return found.public_bytes(serialization.Encoding.PEM).decode()


def _key(path: Path, text: str) -> str:
    try:
        found = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        raise _none(path) from None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise _none(path)
    return found.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _none(path: Path) -> KeysError:
    return KeysError(f"{path} is no ticket", "ksnode allow-rejoin --out TICKET makes one")
