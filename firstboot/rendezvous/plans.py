"""How two nodes' plans differ, in words fit for a line of text whatever the peer said."""

from typing import Any

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


def _shown(value: Any) -> str:
    """A word from outside, fit for a line of text."""
    if isinstance(value, (str, int)):
        return ascii(value)[:MOST_WORD]
    return "none" if value is None else f"a {type(value).__name__}"
