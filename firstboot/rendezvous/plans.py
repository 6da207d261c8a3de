"""How two nodes' plans differ, in words fit for a line of text whatever the peer said."""

import hashlib
from dataclasses import asdict
from typing import Any

from firstboot.node import Pair, canonical

MOST_NAMED = 20  # differences
MOST_WORD = 80  # characters of each


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> tuple[str, ...]:
    """Names of what differs between two states' plans; never the values. Empty: the same plan."""
    for word in ("protocol", "agent"):
        if theirs.get(word) != mine[word]:
            return (f"{word} {mine[word]} here, {_shown(theirs.get(word))} there",)
    if theirs.get("digest") == mine["digest"]:
        return ()
    keys = theirs.get("keys")
    other = keys if isinstance(keys, dict) else {}
    named = sorted(
        key for key in {*mine["keys"], *map(str, other)} if mine["keys"].get(key) != other.get(key)
    )
    told = [ascii(key)[1:-1][:MOST_WORD] for key in named[:MOST_NAMED]]
    if len(named) > MOST_NAMED:
        told.append(f"and {len(named) - MOST_NAMED} more")
    return tuple(told) or ("plan digest",)


def key_digests(pair: Pair) -> dict[str, str]:
    """Each leaf of the pair with a short digest, so that a difference can be named, not shown."""
    return {
        path: hashlib.sha256(canonical(value).encode()).hexdigest()[:12]
        for path, value in sorted(_leaves(asdict(pair), "pair"))
    }


def _shown(value: Any) -> str:
    """A word from outside, fit for a line of text."""
    if isinstance(value, (str, int)):
        return ascii(value)[:MOST_WORD]
    return "none" if value is None else f"a {type(value).__name__}"


def _leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in _leaves(value[key], f"{path}.{key}")]
    if isinstance(value, (list, tuple)):
        return [leaf for i, item in enumerate(value) for leaf in _leaves(item, f"{path}[{i}]")]
    return [(path, value)]
