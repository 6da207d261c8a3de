"""report.txt: what was measured, for people, beside the article's figures."""

import textwrap
from collections.abc import Mapping
from typing import Any

from firstboot.node import Pair

# The article (2010, two DL380 G6, RAID 5, three 1 Gbit/s cables): its ping_pong after tuning, and
# bonnie++'s sequential output and input, KB/s of both runs as MiB/s.
ARTICLE = {"locks_s": "1959", "write_mib_s": "92 to 107", "read_mib_s": "266 to 291"}
WIDTH = 80
ROWS = (
    ("locks_s", "POSIX locks a second"),
    ("write_mib_s", "sequential write, MiB/s"),
    ("read_mib_s", "sequential read, MiB/s"),
    ("small_p99_ms", "small write meanwhile, 99 % within, ms"),
    ("small_longest_ms", "the longest of them, ms"),
)


def text(pair: Pair, report: Mapping[str, Any]) -> str:
    """The report of both nodes as a table of at most 80 columns."""
    names = [node.name for node in pair.nodes]
    lines = [f"Pair {pair.name}: measured by its own agents", ""]
    for when, title in (("alone", "one node at a time"), ("both", "both at the same time")):
        lines.append(f"{title:41}" + "".join(f"{name[:12]:>13}" for name in names) + "   article")
        for key, label in ROWS:
            figures = "".join(f"{_figure(report[name][when], key):>13}" for name in names)
            beside = ARTICLE.get(key, "") if when == "alone" else ""
            lines.append(f"{label[:41]:41}{figures}   {beside}".rstrip())
        lines.append("")
    for name in names:
        lines += [f"{name}:", *(f"  {line}" for line in _state(report[name])), ""]
    return "\n".join(lines)


def _figure(measured: Any, key: str) -> str:
    found = measured.get(key) if isinstance(measured, Mapping) else None
    return f"{found:.1f}" if isinstance(found, (int, float)) else "not told"


def _state(of: Mapping[str, Any]) -> "list[str]":
    state, cables = of["state"], of["both"]["cables"]
    links = ", ".join(f"{n} {'up' if up else 'down'}" for n, up in sorted(state["links"].items()))
    lines = [
        f"mounted with {state['mount_options']}",
        f"cluster links: {links}; {state['crypto']['cipher']}, {state['crypto']['hash']}",
        f"DRBD's peers prove themselves by {state['drbd_hmac'] or 'nothing'}",
        *(
            f"cable {port}: {cable['mib_s']:.1f} MiB/s, {cable['percent']:.0f} % of all"
            for port, cable in sorted(cables.items())
        ),
    ]
    if state["ksm_saved_mib"] is not None:
        lines.append(f"KSM saves {state['ksm_saved_mib']:.0f} MiB")
    if state["denials"] is not None:
        lines.append(f"SELinux denials since boot: {len(state['denials'])}")
    for warning in state["warnings"]:
        lines += textwrap.wrap(f"WARNING: {warning}", WIDTH - 2, subsequent_indent="  ")
    return lines
