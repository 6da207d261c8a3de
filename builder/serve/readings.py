"""The page's content for programs: /status as JSON, /metrics for Prometheus. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence

from builder.serve.catalog import ServedPair
from builder.serve.stages import Row, Way

SCHEMA = "ksbuild/serve-status/1"
_GAUGES = {
    "complete": "Whether the node is complete.",
    "stopped": "Whether a stage of the node was refused or has failed.",
    "stages_passed": "Stages that lie behind the node.",
    "stages": "Stages there are.",
    "heard_timestamp_seconds": "When the node was heard last, in seconds since 1970.",
}
Paired = Sequence[tuple[ServedPair, Sequence[Way]]]


def status(pairs: Paired) -> str:
    """All pairs as JSON; times in seconds since 1970."""
    content = [
        {"id": pair.id, "name": pair.name, "nodes": [_node(way) for way in ways]}
        for pair, ways in pairs
    ]
    return json.dumps({"schema": SCHEMA, "pairs": content}, indent=1) + "\n"


def _node(way: Way) -> dict[str, object]:
    return {
        "name": way.node,
        "complete": way.complete,
        "stopped": [row.name for row in way.stopped],
        "now": way.now.name if way.now else None,
        "heard": way.heard,
        "stages": [_row(row) for row in way.rows],
    }


def _row(row: Row) -> dict[str, object]:
    said = {"detail": row.detail, "evidence": row.evidence, "next": row.then}
    known = {"began": row.began, "since": row.since, "percent": row.percent}
    filled = {key: value for key, value in said.items() if value}
    filled_numbers = {key: value for key, value in known.items() if value is not None}
    return {"name": row.name, "state": row.state, **filled, **filled_numbers}


def metrics(pairs: Paired, counts: Mapping[str, int]) -> str:
    """All pairs in Prometheus' text format 0.0.4; `counts` are counters of this process."""
    lines: list[str] = []
    for gauge, meaning in _GAUGES.items():
        name = f"ksbuild_node_{gauge}"
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        lines += [f"{name}{labels} {number}" for labels, number in _gauges(pairs, gauge)]
    for counter, number in sorted(counts.items()):
        name = f"ksbuild_{counter}_total"
        lines += [f"# TYPE {name} counter", f"{name} {number}"]
    return "\n".join(lines) + "\n"


def _gauges(pairs: Paired, gauge: str) -> Iterator[tuple[str, str]]:
    for pair, ways in pairs:
        for way in ways:
            labels = f'{{pair="{_label(pair.name)}",node="{_label(way.node)}"}}'
            number = {
                "complete": int(way.complete),
                "stopped": int(bool(way.stopped)),
                "stages_passed": way.passed,
                "stages": len(way.rows),
                "heard_timestamp_seconds": way.heard,
            }[gauge]
            if number is not None:
                yield labels, f"{number:.3f}" if isinstance(number, float) else str(number)


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
