"""ksbuild.json on every medium: what was put there, so that it can be checked and compared."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from builder.plan.bootmenu import Medium
from firstboot import VERSION
from firstboot.node import Pair, plan_digest

PATH = "ksbuild.json"
SCHEMA = "ksbuild/manifest/1"


def render(
    pair: Pair,
    medium: Medium,
    files: Mapping[str, bytes],
    extras: Mapping[str, Any] | None = None,
) -> bytes:
    """The manifest of a tree: the pair, the plan digest, and each file's sha256 and size.

    `nodes` are those that can be installed from the medium, `extras` the repository of further
    packages on it, if there is one.
    """
    content = {
        "schema": SCHEMA,
        "pair": pair.name,
        "pair_id": pair.id,
        "nodes": [node.name for node in pair.nodes if medium.installs(node.name)],
        "plan_digest": plan_digest(pair),
        "agent": VERSION,
        "volume_id": medium.volume_id,
        "demonstration": medium.demonstration,
        "files": {
            path: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for path, content in sorted(files.items())
        },
        **({"extras": dict(extras)} if extras else {}),
    }
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def read(text: bytes) -> dict[str, Any]:
    """A manifest as written by `render`. Raises ValueError when it is none."""
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{PATH} is not a manifest of this version")
    return content


def differing(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> list[str]:
    """Paths whose content is not what the manifest says, missing ones included."""
    return [
        path
        for path, said in sorted(manifest["files"].items())
        if path not in files or hashlib.sha256(files[path]).hexdigest() != said["sha256"]
    ]
