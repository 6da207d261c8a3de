"""Bring a pair up in User-mode Linux, or with LAB=qemu in QEMU, and drill it.

    python -m tests.lab up [--profile FILE] [--out DIR] [--stay]
    python -m tests.lab drill NAME... [--profile FILE] [--out DIR] [--seed N]
    python -m tests.lab drills [--profile FILE] [--out DIR] [--seed N]

LAB_NONCE in the environment becomes the profile's [pair] description and comes back in report.json
by way of the nodes. Exit status: 0 both nodes are complete, 1 not, 6 this machine lacks something,
130 interrupted; nothing goes on running afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from tests.lab.bringup import NotInstalled, a_pair, bring_up, install, platform, stock
from tests.lab.drills import DRILLS, Session, possible
from tests.lab.progress import Printed, Tell
from tests.lab.report import keep, told_by, whole
from tests.uml.kernel import MissingPiece
from tests.uml.machine import scratch_folder
from tests.uml.pair import PROFILE, TestPair

LACKING, INTERRUPTED = 6, 130


def main() -> int:
    """Read the command line and do it."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="ksbuild-lab-", dir=scratch_folder()))
    try:
        return COMMANDS[options.command](options, folder / "pair", Printed())
    except MissingPiece as error:
        print(f"lab: {error}", file=sys.stderr)
        return LACKING
    except NotInstalled as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; nothing is left running", file=sys.stderr)
        return INTERRUPTED
    finally:
        shutil.rmtree(folder)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.lab")
    commands = made.add_subparsers(dest="command", required=True)
    going_up = commands.add_parser("up", help="bring a pair up and report")
    going_up.add_argument("--stay", action="store_true", help="keep the pair until Ctrl-C")
    one = commands.add_parser("drill", help="bring a pair up and run these drills on it")
    one.add_argument("names", nargs="+", choices=sorted(DRILLS), metavar="NAME")
    every = commands.add_parser("drills", help="every drill in random order")
    for command in (going_up, one, every):
        command.add_argument("--profile", type=Path, default=PROFILE)
        command.add_argument("--out", type=Path, default=Path("lab/out"))
    for command in (one, every):
        command.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    return made


def drill(options: argparse.Namespace, folder: Path, tell: Tell) -> int:
    """make drill: 0 only when all passed. Raises MissingPiece for one that cannot be had here."""
    if others := set(options.names) - set(possible(platform())):
        raise MissingPiece(
            f"no drill of LAB={platform()}: {', '.join(sorted(others))}\n"
            f"next: make drill LAB={'uml' if platform() == 'qemu' else 'qemu'}"
        )
    return Session(options, folder, tell, options.seed).run(options.names)


def drills(options: argparse.Namespace, folder: Path, tell: Tell) -> int:
    """make drills: all of them, in an order that the seed decides."""
    those = possible(platform())
    names = random.Random(options.seed).sample(those, len(those))  # noqa: S311
    print(f"seed {options.seed}: {' '.join(names)}", flush=True)
    return Session(options, folder, tell, options.seed).run(names)


def up(options: argparse.Namespace, folder: Path, tell: Tell) -> int:
    """make lab: 0 only when both nodes' RESULT says complete."""
    nonce = os.environ.get("LAB_NONCE", "")
    with a_pair(stock(tell), folder, options.profile, description=nonce) as pair:
        verdicts = install(pair, tell)
        watch = bring_up(pair, tell)
        told = {server.name: told_by(pair, server) for server in pair.servers}
        report = whole(pair, watch, verdicts, told)
        keep(pair, told, options.out)
        (options.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        for name, files in told.items():
            print(f"\n---- {name} ----\n{files.get('report.txt', 'no report')}")
        print(f"{options.out}/report.json; complete: {report['complete']}")
        if options.stay:
            _stay(pair)
    return 0 if report["complete"] else 1


def _stay(pair: TestPair) -> NoReturn:
    print("\nThe pair runs until Ctrl-C. On a node:")
    for server in pair.servers:
        login = shlex.join(pair.shell.argv(server.address, ""))
        print(f"  {login}   # {server.name}", flush=True)
    while True:
        time.sleep(3600)


COMMANDS = {"up": up, "drill": drill, "drills": drills}

if __name__ == "__main__":
    sys.exit(main())
