"""The rehearsal's record on disk: written before the deed, read after whatever came between."""

import dataclasses
import json
from pathlib import Path

from firstboot import files, strictjson
from firstboot.engine import Refused
from firstboot.fencing.rehearsal import Record
from firstboot.journal import STATE

PATH = STATE / "rehearsal.json"


def load(root: Path) -> Record:
    """What this node did so far. Raises Refused when the file can't be read."""
    try:
        raw = json.loads((root / PATH).read_text(encoding="utf-8"))
        record: Record = strictjson.value(Record, raw, PATH.name)
    except FileNotFoundError:
        return Record()
    except ValueError as error:
        way_out = "ksnode rehearse PEER, PEER being the other node's name"
        raise Refused(f"/{PATH} can't be read: {error}", way_out) from None
    return record


def save(root: Path, record: Record) -> None:
    """Durable before this returns."""
    text = json.dumps(dataclasses.asdict(record), sort_keys=True) + "\n"
    files.replace(root / PATH, text.encode(), 0o644)


def forget(root: Path) -> None:
    """A human lets this node fire again, as often as it may at first."""
    if (root / PATH).exists():
        (root / PATH).unlink()
        files.sync_folder(root / STATE)
