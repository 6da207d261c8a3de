"""The few things the world cannot tell: files made once; only `ksnode reset` removes them."""

from pathlib import Path

from firstboot import files
from firstboot.journal import STATE

SECRETS_STORED = "secrets-stored"  # on both nodes; the introduction is refused from here on
FENCING_PROVEN = "fencing-proven"  # by each node on the other; JSON: how and when
SEED_STARTED = "seed-started"  # the data partition is in use; JSON: what it was before
DATA_EXISTS = "data-exists"  # the pair has data: nothing may ever create it again
COMPLETE = "complete"


def is_set(root: Path, latch: str) -> bool:
    """Whether the latch was ever set on this node."""
    return (root / STATE / latch).exists()


def set_once(root: Path, latch: str, content: str) -> None:
    """Set the latch, durable before this returns; a latch that is set stays as it was."""
    try:
        files.create(root / STATE / latch, content.encode(), 0o644)
    except FileExistsError:
        return
