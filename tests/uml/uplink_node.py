"""Runs on a node: the agent's uplink step on one variant after the other, each from nothing.

Argument: a folder with NAME.json (node.json) and, where the installer left profiles, NAME/*. Where
NAME.after is there as well, the node is then changed to that plan, and back.
"""

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firstboot import links
from firstboot.commands import Result, run
from firstboot.engine import converge
from firstboot.node import Identity, from_json
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.uplink import Uplink

PROFILES = Path("/etc/NetworkManager/system-connections")


def names() -> "list[str]":
    """Every profile NetworkManager knows for what is wired."""
    shown = run(["nmcli", "-t", "-e", "no", "-f", "NAME,TYPE", "connection", "show"]).stdout
    return sorted(line.split(":")[0] for line in shown.splitlines() if "loopback" not in line)


def from_nothing(profiles: Path) -> None:
    """Only what the installer left, and that active."""
    for path in PROFILES.iterdir():
        run(["nmcli", "connection", "delete", "id", path.stem], ok=(0, 10))
    if profiles.is_dir():
        for path in profiles.iterdir():
            shutil.copy(path, PROFILES)
            (PROFILES / path.name).chmod(0o600)
    run(["nmcli", "connection", "reload"])
    for path in PROFILES.iterdir():
        run(["nmcli", "connection", "up", "id", path.stem])


def one(identity: Identity, profiles: Path) -> "dict[str, object]":
    """What was missing, what is then, and what a second run would execute."""
    from_nothing(profiles)
    before = names()
    told: list[str] = []
    commands: list[str] = []

    def noted(argv: Sequence[str], **options: Any) -> Result:
        commands.append(" ".join(argv))
        return run(argv, **options)

    def report(step: str, event: str, detail: str = "") -> None:
        told.append(f"{step} {event}: {detail}")

    root = Path("/")
    context = Context(identity, root, noted, report, Meeting(identity, root, "boot"))
    started = time.monotonic()
    with contextlib.suppress(Exception):  # converge() has told it
        converge([Uplink(context)], report, has=identity.pair.has)
    seconds = time.monotonic() - started
    commands.clear()
    missing = list(Uplink(context).check())
    found = links.parse(run(["ip", "-j", "-d", "address", "show"]).stdout)
    chain = {link.name: link.above for link in found if link.above}
    return {"before": before, "told": told, "missing": missing, "again": list(commands),
            "profiles": names(), "chain": chain, "seconds": round(seconds, 1)}  # fmt: skip


def activations() -> "dict[str, str]":
    """Device -> what NetworkManager calls its present activation; another one is another name."""
    shown = run(
        ["nmcli", "-t", "-f", "DEVICE,ACTIVE-PATH", "connection", "show", "--active"]
    ).stdout
    return dict(line.split(":", 1) for line in shown.splitlines())


def change(before: Identity, after: Identity) -> "dict[str, object]":
    """To the other plan and back, while a guest's port is in br0.8."""
    run(["ip", "link", "add", "vnet0", "type", "dummy"])
    run(["ip", "link", "set", "vnet0", "master", "br0.8", "up"])
    told: list[str] = []

    def report(step: str, event: str, detail: str = "") -> None:
        told.append(f"{step} {event}: {detail}")

    answer: dict[str, object] = {"told": told}
    for name, identity in (("at first", before), ("changed", after), ("back", before)):
        context = Context(identity, Path("/"), run, report, Meeting(identity, Path("/"), "boot"))
        with contextlib.suppress(Exception):  # converge() has told it
            converge([Uplink(context)], report, has=identity.pair.has)
        found = links.parse(run(["ip", "-j", "-d", "address", "show"]).stdout)
        answer[name] = {
            "missing": list(Uplink(context).check()),
            "profiles": names(),
            "activations": activations(),
            "chain": {link.name: link.above for link in found if link.above},
        }
    run(["ip", "link", "del", "vnet0"])
    return answer


def main() -> None:
    folder = Path(sys.argv[1])
    answer: dict[str, object] = {}
    for path in sorted(folder.glob("*.json")):
        before, after = from_json(path.read_text()), path.with_suffix(".after")
        answer[path.stem] = one(before, folder / path.stem)
        if after.exists():
            answer[after.name] = change(before, from_json(after.read_text()))
    print(json.dumps(answer, indent=1))


main()
