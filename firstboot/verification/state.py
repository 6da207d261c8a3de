"""What is in effect, as the running system tells it: mount options, links, cables, KSM, AVCs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstboot import drbd, facts, mount
from firstboot.commands import Run
from firstboot.node import BOND, Identity

PAGE = 4096  # bytes; x86_64
# What the agent set up; others' denials are not ours to report.
OURS = re.compile(r"drbd|corosync|pacemaker|dlm|gfs2|ksnode|libvirt|qemu|vmdata")


def seen(identity: Identity, root: Path, run: Run) -> "dict[str, Any]":
    """What of the plan is in effect on this node, as it stands in the report. Reads only.

    Raises CommandError when a program that should know does not answer.
    """
    pair = identity.pair
    options = mount.options(mount.table(root), pair.gfs2.mount)
    links = connected_links(run(["corosync-cfgtool", "-s"], ok=(0, 1)).stdout)
    return {
        "mount_options": None if options is None else ",".join(options),
        "crypto": crypto(run),
        "drbd_hmac": drbd.authentication(run, drbd9=pair.has("drbd9")),
        "links": {str(number): up for number, up in links.items()},
        "ports": ports(root),
        "ksm_saved_mib": ksm_saved_mib(root) if pair.has("ksm") else None,
        "denials": denials(run) if pair.has("selinux") else None,
    }


@dataclass(frozen=True)
class Traffic:
    """Bytes a port sent and received since it came up."""

    sent: int
    received: int


def traffic(root: Path, ports: "list[str]") -> "dict[str, Traffic]":
    """Port name -> its counters; a port that vanished is left out."""
    found = {}
    for port in ports:
        folder = root / "sys/class/net" / port / "statistics"
        if folder.is_dir():
            found[port] = Traffic(_number(folder / "tx_bytes"), _number(folder / "rx_bytes"))
    return found


def cables(
    before: "Mapping[str, Traffic]", after: "Mapping[str, Traffic]", seconds: float
) -> "dict[str, dict[str, float]]":
    """Port name -> MiB/s that it sent and received meanwhile, and its part of all, in percent."""
    moved = {
        port: after[port].sent + after[port].received - before[port].sent - before[port].received
        for port in before.keys() & after.keys()
    }
    total = sum(moved.values())
    return {
        port: {
            "mib_s": part / seconds / (1 << 20),
            "percent": 100.0 * part / total if total else 0.0,
        }
        for port, part in sorted(moved.items())
    }


def ports(root: Path) -> "dict[str, bool]":
    """Name of each port of the bond -> whether the bond sees a link on it."""
    return {name: facts.has_link(root, name) for name in sorted(facts.bonded(root, BOND))}


def ksm_saved_mib(root: Path) -> float:
    """MiB that equal pages would take once more (Documentation/admin-guide/mm/ksm.rst)."""
    return _number(root / "sys/kernel/mm/ksm/pages_sharing") * PAGE / (1 << 20)


def crypto(run: Run) -> "dict[str, str]":
    """Cipher and hash corosync runs with, "" where it tells none."""
    text = run(["corosync-cmapctl", "totem.crypto_cipher", "totem.crypto_hash"], ok=(0, 1)).stdout
    found = dict(re.findall(r"^totem\.crypto_(\w+) \(str\) = (\S+)$", text, re.MULTILINE))
    return {name: found.get(name, "") for name in ("cipher", "hash")}


def connected_links(cfgtool: str) -> "dict[int, bool]":
    """`corosync-cfgtool -s` -> link number, whether every node on it is reached."""
    found: dict[int, bool] = {}
    link = -1
    for line in cfgtool.splitlines():
        if heading := re.match(r"LINK ID (\d+)", line):
            link = int(heading[1])
            found[link] = True
        elif state := re.match(r"\s+nodeid:?\s+\d+:\s+(\S+)", line):
            found[link] = found[link] and state[1] in ("connected", "localhost")
    return found


def denials(run: Run) -> "list[str]":
    """AVC denials since boot that name a part of ours and stopped it.

    ausearch(8) exits 1 when there are none, and reads a pipe instead of the logs if it has one.
    """
    words = ["--input-logs", "--message", "AVC", "--start", "boot", "--raw"]
    lines = run(["ausearch", *words], ok=(0, 1)).stdout.splitlines()
    return [line for line in lines if OURS.search(line) and "permissive=1" not in line]


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii").strip())
