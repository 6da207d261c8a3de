"""What may be typed after ksnode."""

import argparse
from pathlib import Path
from typing import Any

from firstboot import VERSION

# What `ksnode check` looks at (verbs/checking.py has the same).
SUBSYSTEMS = (
    "cables",
    "clock",
    "cluster",
    "disks",
    "file-system",
    "links",
    "memory",
    "raid",
    "replication",
    "root",
    "selinux",
    "sensors",
)


def parser() -> argparse.ArgumentParser:
    """The whole command line; `command` is a key of firstboot.__main__.VERBS."""
    parser = argparse.ArgumentParser(prog="ksnode", description="the agent of a ksbuild node")
    parser.add_argument("--version", action="version", version=f"ksnode {VERSION}")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("agent", help="what ksnode.service runs: converge, then answer the peer")
    running = commands.add_parser("run", help="bring this node to its plan, once")
    running.add_argument("--dry-run", action="store_true", help="only say what is missing")
    _looking(commands)
    _mending(commands)
    _living(commands)
    _guests(commands.add_parser("guest", help="the pair's guests: add, move, list them"))
    passing = commands.add_parser("gate", help="what ksbuild-gate.service runs at each boot")
    passing.add_argument("--stopped", action="store_true", help="this boot ends by a shutdown")
    return parser


def _looking(commands: Any) -> None:
    """What changes nothing."""
    for name, text in (
        ("status", "how far each step is"),
        ("why", "what is not as it should be, since when, and the next command"),
    ):
        looking_on = commands.add_parser(name, help=text)
        looking_on.add_argument("--json", action="store_true", help="the same as JSON")
    checked = commands.add_parser("check", help="one line and an exit status for Nagios")
    checked.add_argument("subsystem", nargs="?", choices=SUBSYSTEMS)
    checked.add_argument("--metrics", action="store_true", help="all parts, for Prometheus")
    feeling = commands.add_parser("health", help="how this node is as a place for guests")
    feeling.add_argument("--tell", action="store_true", help="tell pacemaker, which moves guests")
    telling = commands.add_parser("alert", help="whom this node tells what befalls the pair")
    telling.add_argument("--test", action="store_true", help="tell them that this is a test")
    collecting = commands.add_parser("collect", help="pack what a human needs to find a fault")
    collecting.add_argument("-o", "--output", type=Path, help="default: ksnode-NODE.tar.gz here")


def _mending(commands: Any) -> None:
    """What a human types when something went wrong."""
    again = commands.add_parser("reset", help="start a failed first attempt over")
    again.add_argument("--node", help="this node's name, typed, so that no other is meant")
    again.add_argument("--cluster", help="the cluster's name too, once there is data to lose")
    going_on = commands.add_parser("start-alone", help="go on while the other node is off")
    going_on.add_argument("peer", help="its name, typed by whoever has seen that it is off")
    loss = "what the other node wrote after this one stopped, if it did, may be lost"
    going_on.add_argument("--accept-loss", action="store_true", help=loss)
    proving = commands.add_parser("rehearse", help="cut the other node's power once, as a proof")
    proving.add_argument("peer", help="its name, typed")
    back = commands.add_parser("allow-rejoin", help="let the other node, installed anew, come back")
    back.add_argument("--for", dest="duration", default="60m", help="60m, 8h or 2d; default: 60m")
    back.add_argument("--out", type=Path, help="the ticket's file (0600); default: printed")
    parted = commands.add_parser("resolve", help="after a split brain: both halves, and choose one")
    parted.add_argument("--discard", metavar="NODE", help="whose changes go, for ever; its name")
    parted.add_argument("--cluster", help="the cluster's name, typed, so that no other is meant")
    parted.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parted.add_argument("--json", action="store_true", help="both halves as JSON")


def _living(commands: Any) -> None:
    """What a human types on a pair that is well."""
    off = commands.add_parser("poweroff", help="switch this node off in an orderly way, or both")
    off.add_argument("--pair", action="store_true", help="both nodes; to be typed on each")
    off.add_argument("--reboot", action="store_true", help="restart instead")
    off.add_argument("--force", action="store_true", help="though the other node lacks data")
    off.add_argument("--dry-run", action="store_true", help="only say what it would do")
    renewing = commands.add_parser("update", help="renew this node's packages, and restart it")
    renewing.add_argument("--dry-run", action="store_true", help="only say what is to be renewed")
    commands.add_parser("fence-password", help="another password for this node's fence account")
    other = commands.add_parser("apply", help="change a complete node to another plan of its pair")
    other.add_argument("plan", type=Path, help="what ksbuild plan --out has written")
    other.add_argument("--dry-run", action="store_true", help="only say what differs")
    other.add_argument("--json", action="store_true", help="what differs, as JSON")


def _guests(parser: argparse.ArgumentParser) -> None:
    """What may be done with the pair's guests."""
    actions = parser.add_subparsers(dest="action", required=True)
    adding = actions.add_parser(
        "add", help="make a domain of libvirt's a guest", usage="%(prog)s NAME [options] "
        "(--xml FILE | -- VIRT-INSTALL ARGUMENTS)"
    )  # fmt: skip
    adding.add_argument("--xml", type=Path, help="libvirt's XML of it")
    adding.add_argument("--size", help="of an image that is to be made, as 20G")
    adding.add_argument("--prefer", metavar="NODE", help="where it starts when both are there")
    adding.add_argument("--after", metavar="GUEST", action="append", default=[])
    adding.add_argument("--priority", type=int, default=1, help="in a duel of the nodes; 1")
    removing = actions.add_parser("remove", help="stop it and forget it; its disks stay")
    removing.add_argument("--confirm", metavar="NAME", help="its name once more")
    moving = actions.add_parser("move", help="move it live")
    for one in (adding, removing, moving, actions.add_parser("console", help="its console")):
        one.add_argument("name")
    moving.add_argument("node", nargs="?", help="default: the other one")
    for one in (adding, removing, moving):
        one.add_argument("--dry-run", action="store_true", help="only say what would be done")
    showing = actions.add_parser("list", help="where they are, and what is none of them")
    showing.add_argument("--json", action="store_true", help="the same as JSON")
