"""What is in effect, as the running system tells it: mount options, links, cables, KSM, AVCs."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from firstboot.commands import Run

PAGE = 4096  # bytes; x86_64
# What the agent set up; others' denials are not ours to report.
OURS = re.compile(r"drbd|corosync|pacemaker|dlm|gfs2|ksnode|libvirt|qemu|vmdata")


@dataclass(frozen=True)
class Traffic:
    """Bytes a port sent and received since it came up."""

    sent: int
    received: int


def mount_options(root: Path, mount: str) -> Optional[str]:
    """Options of the GFS2 mounted there as the kernel has them; None when there is none."""
    for line in (root / "proc/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, options, *_ = line.split()
        if (where, kind) == (mount, "gfs2"):
            return options
    return None


def traffic(root: Path, ports: "list[str]") -> "dict[str, Traffic]":
    """Port name -> its counters; a port that vanished is left out."""
    found = {}
    for port in ports:
        folder = root / "sys/class/net" / port / "statistics"
        if folder.is_dir():
            found[port] = Traffic(_number(folder / "tx_bytes"), _number(folder / "rx_bytes"))
    return found


def shares(before: "dict[str, Traffic]", after: "dict[str, Traffic]") -> "dict[str, float]":
    """Port name -> its part of all that was sent and received meanwhile, in percent."""
    moved = {
        port: after[port].sent + after[port].received - before[port].sent - before[port].received
        for port in before.keys() & after.keys()
    }
    total = sum(moved.values())
    return {port: 100.0 * part / total if total else 0.0 for port, part in sorted(moved.items())}


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
    """AVC denials since boot that name a part of ours (ausearch(8) exits 1 when there are none)."""
    result = run(["ausearch", "--message", "AVC", "--start", "boot", "--raw"], ok=(0, 1))
    return [line for line in result.stdout.splitlines() if OURS.search(line)]


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii").strip())
