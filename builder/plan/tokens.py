"""What opens each door of `ksbuild serve`: derived from the pair's key, so that no file lists them.

160 bits each. `ksbuild iso` and `ksbuild serve` derive the same ones from the same keys folder.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Progress:
    """Where the nodes tell how far they are: the server's address and each node's token.

    A token lets its node tell things of itself, and reads nothing. `certificate` is the PEM that
    the server's own must come from; None: what the distribution trusts.
    """

    url: str
    tokens: Mapping[str, str]
    certificate: str | None = None


def kickstart(key: str, node: str, generation: int) -> str:
    """What fetches that node's kickstart; each `ksbuild reinstall` is a new generation."""
    return _derived(key, "kickstart", node, str(generation))


def progress(key: str, node: str) -> str:
    """What lets that node tell how far it is."""
    return f"ksbuild-progress-{_derived(key, 'progress', node)}"


def page(key: str) -> str:
    """What shows the page of everything a server serves."""
    return _derived(key, "page")


def digest(token: str) -> str:
    """By what a token is looked up and kept: whoever reads that can't fetch anything with it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _derived(key: str, *purpose: str) -> str:
    text = "\0".join(purpose)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:40]
