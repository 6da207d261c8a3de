"""ksnode: the agent's command line.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 node.json not usable, 5 refused,
7 `--dry-run` found something to do, 75 another agent is running; `check` has Nagios' own:
0 ok, 1 warning, 2 critical, 3 unknown. They never change.
"""

import argparse
import importlib
import logging
import sys
from pathlib import Path
from typing import Callable, Optional

from firstboot import commandline
from firstboot.exits import BAD_PLAN
from firstboot.node import Identity, NodeError, from_json

Verb = Callable[[Identity, Path, argparse.Namespace], int]
# A verb's module is loaded once it is typed: all of them take longer than most verbs do.
VERBS = {
    "agent": ("converging", "agent"),
    "run": ("converging", "run_once"),
    "status": ("looking", "status"),
    "why": ("looking", "why"),
    "check": ("looking", "check"),
    "health": ("health", "look"),
    "alert": ("alert", "alert"),
    "collect": ("collect", "collect"),
    "gate": ("gate", "pass_gate"),
    "rehearse": ("rehearse", "rehearse"),
    "fence-password": ("fencepassword", "fence_password"),
    "start-alone": ("startalone", "start_alone"),
    "poweroff": ("poweroff", "poweroff"),
    "update": ("update", "update"),
    "guest": ("guest", "guest"),
    "allow-rejoin": ("allowrejoin", "allow_rejoin"),
    "apply": ("apply", "apply"),
    "reset": ("reset", "reset"),
    "resolve": ("resolve", "resolve"),
}


def main(argv: Optional[list[str]] = None) -> int:
    """Parse the command line and do it; the exit status is the answer."""
    parser = commandline.parser()
    typed = sys.argv[1:] if argv is None else argv
    end = typed.index("--") if "--" in typed else len(typed)
    arguments = parser.parse_args(typed[:end], argparse.Namespace(rest=typed[end + 1 :]))
    if arguments.rest and getattr(arguments, "action", "") != "add":
        parser.error(f"unrecognized arguments: {' '.join(arguments.rest)}")
    logging.basicConfig(format="ksnode: %(message)s", level=logging.INFO)
    root = Path(arguments.root)
    try:
        identity = from_json((root / "etc/ksbuild/node.json").read_text(encoding="utf-8"))
    except (OSError, NodeError) as error:
        print(f"ksnode: {error}", file=sys.stderr)
        return BAD_PLAN
    return verb(arguments.command)(identity, root, arguments)


def verb(name: str) -> Verb:
    """The function that does what is called so on the command line."""
    module, function = VERBS[name]
    found: Verb = getattr(importlib.import_module(f"firstboot.verbs.{module}"), function)
    return found


if __name__ == "__main__":
    sys.exit(main())
