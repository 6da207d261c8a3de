"""A pair's plan as `ksbuild plan --out` writes it; tests/builder/test_pair_plan.py compares."""

import json
from dataclasses import asdict
from typing import Any

from firstboot import VERSION
from firstboot.node import SCHEMA, Identity, plan_digest
from firstboot.planfile import FORMAT


def as_plan(wanted: Identity, **other: Any) -> str:
    """The file's text; `other` are keys that are to be wrong."""
    content = {
        "format": FORMAT,
        "agent": VERSION,
        "schema": SCHEMA,
        "digest": plan_digest(wanted.pair),
        "description": wanted.description,
        "pair": asdict(wanted.pair),
    }
    return json.dumps({**content, **other}, indent=2, sort_keys=True) + "\n"
