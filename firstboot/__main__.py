"""ksnode: the agent's command line.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 node.json not usable, 5 refused,
7 `run --dry-run` found something to do, 75 another agent is running; `check` has Nagios' own:
0 ok, 1 warning, 2 critical, 3 unknown. They never change.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Callable, Optional

from firstboot import VERSION
from firstboot.exits import BAD_PLAN
from firstboot.node import Identity, NodeError, from_json
from firstboot.verbs import (
    allowrejoin,
    checking,
    collect,
    converging,
    gate,
    looking,
    rehearse,
    reset,
    resolve,
    startalone,
)

Verb = Callable[[Identity, Path, argparse.Namespace], int]
VERBS: dict[str, Verb] = {
    "agent": converging.agent,
    "run": converging.run_once,
    "status": looking.status,
    "why": looking.why,
    "check": looking.check,
    "collect": collect.collect,
    "gate": gate.pass_gate,
    "rehearse": rehearse.rehearse,
    "start-alone": startalone.start_alone,
    "allow-rejoin": allowrejoin.allow_rejoin,
    "reset": reset.reset,
    "resolve": resolve.resolve,
}


def main(argv: Optional[list[str]] = None) -> int:
    """Parse the command line and do it; the exit status is the answer."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="ksnode: %(message)s", level=logging.INFO, stream=sys.stdout)
    root = Path(arguments.root)
    try:
        identity = from_json((root / "etc/ksbuild/node.json").read_text(encoding="utf-8"))
    except (OSError, NodeError) as error:
        print(f"ksnode: {error}", file=sys.stderr)
        return BAD_PLAN
    return VERBS[arguments.command](identity, root, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ksnode", description="the agent of a ksbuild node")
    parser.add_argument("--version", action="version", version=f"ksnode {VERSION}")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("agent", help="what ksnode.service runs: converge, then answer the peer")
    running = commands.add_parser("run", help="bring this node to its plan, once")
    running.add_argument("--dry-run", action="store_true", help="only say what is missing")
    for name, text in (
        ("status", "how far each step is"),
        ("why", "what is not as it should be, since when, and the next command"),
    ):
        looking_on = commands.add_parser(name, help=text)
        looking_on.add_argument("--json", action="store_true", help="the same as JSON")
    checked = commands.add_parser("check", help="one line and an exit status for Nagios")
    checked.add_argument("subsystem", nargs="?", choices=sorted(checking.SOURCES))
    checked.add_argument("--metrics", action="store_true", help="all parts, for Prometheus")
    collecting = commands.add_parser("collect", help="pack what a human needs to find a fault")
    collecting.add_argument("-o", "--output", type=Path, help="default: ksnode-NODE.tar.gz here")
    again = commands.add_parser("reset", help="start a failed first attempt over")
    again.add_argument("--node", help="this node's name, typed, so that no other is meant")
    again.add_argument("--cluster", help="the cluster's name too, once there is data to lose")
    parted = commands.add_parser("resolve", help="after a split brain: both halves, and choose one")
    parted.add_argument("--discard", metavar="NODE", help="whose changes go, for ever; its name")
    parted.add_argument("--cluster", help="the cluster's name, typed, so that no other is meant")
    parted.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parted.add_argument("--json", action="store_true", help="both halves as JSON")
    going_on = commands.add_parser("start-alone", help="go on while the other node is off")
    going_on.add_argument("peer", help="its name, typed by whoever has seen that it is off")
    proving = commands.add_parser("rehearse", help="cut the other node's power once, as a proof")
    proving.add_argument("peer", help="its name, typed")
    back = commands.add_parser("allow-rejoin", help="let the other node, installed anew, come back")
    back.add_argument("--for", dest="duration", default="60m", help="60m, 8h or 2d; default: 60m")
    back.add_argument("--out", type=Path, help="the ticket's file (0600); default: printed")
    passing = commands.add_parser("gate", help="what ksbuild-gate.service runs at each boot")
    passing.add_argument("--stopped", action="store_true", help="this boot ends by a shutdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
