"""pair.plan: what `ksnode apply` takes on a living node. It holds no secret, so 0644 will do."""

import json
from dataclasses import asdict

from builder.plan import Plan
from firstboot import VERSION
from firstboot.node import SCHEMA

FORMAT = "ksbuild/pair/1"  # firstboot/planfile.py reads it


def render(plan: Plan) -> bytes:
    """The same bytes for the same profile."""
    content = {
        "format": FORMAT,
        "agent": VERSION,
        "schema": SCHEMA,
        "digest": plan.digest,
        "description": plan.profile.pair.description or "",
        "pair": asdict(plan.pair),
    }
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
