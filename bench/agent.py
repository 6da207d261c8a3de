"""The agent's own cost, and how little the size of the disks adds, on pairs in User-mode Linux.

    python -m bench.agent [--gib 10 10240] [--folder build/bench-agent]

For each size of the data partition a pair is installed from a medium of its own, switched on and
left alone until it is complete. "CPU" is what the agents' processes used over all boots, without
the programs they ran (`cpu_s` of journal.jsonl and RESULT: the fuller node's); "resident" is VmHWM.
Seconds are the host's, from both nodes' power-on, other load of the machine included; `programs`
are the longest on the first node. Targets meant for hardware are held against figures divided by
how much slower the node's Python starts than the host's (bench.slowness). Disks and memory lie in
/dev/shm: 6 GiB for 10 TiB.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.slowness import slowness
from builder.demo.assemble import assemble
from builder.plan.agent import archive
from builder.resources import agent_sources
from tests.media.sources import DEMO_CACHE, el9_tree, master
from tests.uml.images import CLUSTER_PACKAGES, Images, prepare
from tests.uml.lab import Lab
from tests.uml.pair import PROFILE, STATE, Server, TestPair, build_medium
from tests.uml.running import MachineError
from tests.uml.shell import Shell

GROWTH_S, CONVERGED_S, CPU_S, RESIDENT_MB, ARCHIVE_KB = 60.0, 2.0, 5.0, 40, 200
OS_GIB, BASE_MIB = 36, 640
BITMAP_KIB = 32  # of memory and metadata for each GiB (drbd.conf(5))
PATIENCE_S, LOOKS = 1500.0, 5
VERBS = ("run --dry-run", "run")
STEPS = ("fencing", "replication", "file-system", "cluster", "mounted", "verification")
# How a command begins that changes nothing, whatever follows.
READS = (
    *("ip -j", "nmcli -t", "nmcli -g", "modinfo -F", "lsattr -d", "wipefs -n", "dmesg"),
    *("systemctl is-active", "systemctl is-enabled", "systemctl show", "timedatectl show"),
    *("drbdsetup status", "drbdadm get-gi", "drbdadm status", "cibadmin --query", "crm_mon"),
    *("corosync-cfgtool -s", "stonith_admin --list", "findmnt", "semanage export", "getenforce"),
    *("firewall-cmd --get", "firewall-cmd --state"),
    *(f"virsh --quiet --connect qemu:///system {what}" for what in ("pool-info", "pool-dumpxml")),
)


@dataclass(frozen=True)
class Look:
    """A `ksnode run` on a converged node: seconds, those of processor in them, what it printed."""

    seconds: float
    cpu_s: float
    said: str

    @property
    def commands(self) -> list[str]:
        """All that it started."""
        return re.findall(r"^.*\+ (.*)$", self.said, re.M)


@dataclass(frozen=True)
class BringUp:
    """What one pair took: seconds from power-on for each step, of the slower node."""

    gib: int
    seconds: dict[str, float]
    cpu_s: dict[str, float]
    resident_mb: float
    looks: dict[str, list[Look]]
    programs: list[tuple[float, str]]
    load: float
    slowness: float

    @property
    def changing(self) -> list[str]:
        """The commands that are not known to read only, and what was not as planned."""
        looks = [look for kind in self.looks.values() for look in kind]
        commands = sorted({command for look in looks for command in look.commands})
        lines = [line for look in looks for line in look.said.splitlines()]
        odd = [line for line in lines if re.search(r": (missing|refused|failed)", line)]
        return [command for command in commands if not command.startswith(READS)] + odd


def main() -> int:
    """Read the command line, measure, report; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--gib", type=int, nargs="+", default=[10, 10240])
    parser.add_argument("--folder", type=Path, default=Path("build/bench-agent"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True)
    try:
        source, images = make_source(folder), prepare(CLUSTER_PACKAGES)
        runs = [bring_up(images, source, folder / str(gib), gib) for gib in options.gib]
    finally:
        shutil.rmtree(folder)
    return 0 if report(runs, len(archive(agent_sources()))) else 1


def make_source(folder: Path) -> Path:
    """An ISO with the shape of an EL9 DVD, for the stand-in installer."""
    demo, tree, iso = folder / "demo.iso", folder / "tree", folder / "el9.iso"
    assemble(demo, cache=DEMO_CACHE)
    el9_tree(demo, tree)
    master(tree, iso)
    return iso


@contextmanager
def a_pair(images: Images, source: Path, folder: Path, gib: int) -> Iterator[TestPair]:
    """Two servers with that much for data, installed and off."""
    folder.mkdir()
    disk_gib = OS_GIB + gib
    with Lab() as lab:
        profile = Shell(lab, folder).profile(PROFILE, folder / "pair.toml")
        sizes = f"size_gib = [{disk_gib - 2}, {disk_gib + 2}]"
        profile.write_text(re.sub(r"size_gib = \[.*?\]", sizes, profile.read_text()))
        medium = build_medium(source, folder / "pair.iso", folder / "keys", profile)
        made = TestPair(
            lab,
            images,
            medium,
            folder / "servers",
            profile=profile,
            disk_gib=disk_gib,
            node_mib=BASE_MIB + gib * BITMAP_KIB // 1024,
        )
        try:
            for verdict in made.install_both():
                if not verdict.success:
                    raise SystemExit(f"{gib} GiB: {verdict.reason}\n{verdict.script_tail}")
            yield made
        finally:
            made.close()


def bring_up(images: Images, source: Path, folder: Path, gib: int) -> BringUp:
    """Install a pair, switch it on, look at it once it is complete."""
    with a_pair(images, source, folder, gib) as made:
        print(f"{gib} GiB: installed", file=sys.stderr)
        seconds = watch(made.servers)
        busy = os.getloadavg()[1]
        used = max((cpu_s(made, server) for server in made.servers), key=total)
        return BringUp(
            gib=gib,
            seconds=seconds,
            cpu_s=used,
            resident_mb=max(resident_mb(made, server) for server in made.servers),
            looks={
                verb: [look(made, made.servers[0], verb) for _ in range(LOOKS)] for verb in VERBS
            },
            programs=programs(made, made.servers[0]),
            load=busy,
            slowness=slowness(made, made.servers[0]),
        )


def watch(servers: Sequence[Server]) -> dict[str, float]:
    """Switch both on; seconds until the slower one was through each step, and complete."""
    begin = time.monotonic()
    for server in servers:
        server.outlet.switch_on()
    awaited = {step: rf"ksnode: {step}: (ok|done)" for step in STEPS}
    awaited["complete"] = r"ksnode: complete"
    seconds: dict[str, float] = {}
    while len(seconds) < len(awaited):
        now = time.monotonic() - begin
        texts = [server.outlet.console_text() for server in servers]
        for name, sign in awaited.items():
            if name not in seconds and all(re.search(sign, text) for text in texts):
                seconds[name] = now
        if now > PATIENCE_S:
            raise MachineError("\n".join(text[-3000:] for text in texts))
        time.sleep(0.5)
    return seconds


def cpu_s(made: TestPair, server: Server) -> dict[str, float]:
    """The agent's own processor seconds by step, over all its processes, until it was complete.

    An event's figure counts from the one before, or from the start of a process.
    """
    said = json.loads(made.on(server, f"cat {STATE}/RESULT"))
    events = [json.loads(t) for t in made.on(server, f"cat {STATE}/journal.jsonl").splitlines()]
    while events[-1]["boot"] == said["boot_id"] and events[-1]["cpu_s"] > said["cpu_s"]:
        events.pop()
    used: dict[str, float] = {}
    last = 0.0
    for event in events:
        before = last if event["cpu_s"] >= last else 0.0
        name = event["step"] if before else "starting"
        used[name] = used.get(name, 0.0) + event["cpu_s"] - before
        last = event["cpu_s"]
    return used


def total(used: dict[str, float]) -> float:
    """All steps together."""
    return sum(used.values())


def resident_mb(made: TestPair, server: Server) -> float:
    """The most memory that the running agent ever had."""
    status = "/proc/$(systemctl show -P MainPID ksnode)/status"
    return int(made.on(server, f"grep VmHWM {status}").split()[1]) * 1024 / 1e6


def look(made: TestPair, server: Server, verb: str) -> Look:
    """Have a converged node converge once more."""
    script = f"TIMEFORMAT='took %R %U %S'; time ksnode {verb} || :"
    out, _, took = made.on(server, f'bash -c "{script}" 2>&1').rpartition("took ")
    real, user, system = map(float, took.split())
    return Look(real, user + system, out)


def programs(made: TestPair, server: Server) -> list[tuple[float, str]]:
    """The longest gaps behind a command in the agent's log, with that command."""
    log = made.on(server, "journalctl -b -u ksnode -o short-unix --no-hostname --no-pager")
    lines = [line.split(maxsplit=2) for line in log.splitlines() if re.match(r"\d+\.\d+ ", line)]
    gaps = [
        (float(after[0]) - float(line[0]), line[2].partition("+ ")[2])
        for line, after in pairwise(lines)
        if " + " in line[2]
    ]
    return sorted(gaps, reverse=True)[:8]


def median(looks: Sequence[Look]) -> float:
    """Seconds of the middle one."""
    return statistics.median(look.seconds for look in looks)


FIGURES: dict[str, Callable[[Sequence[Look]], float]] = {
    ", s": median,
    ", CPU s": lambda looks: statistics.median(look.cpu_s for look in looks),
    ", commands": lambda looks: len(looks[0].commands),
}


def report(runs: Sequence[BringUp], archive_bytes: int) -> bool:
    """Print what was measured and whether the targets are met; return the latter."""
    print(f"{'seconds from power-on':26}" + "".join(f"{run.gib:>10} GiB" for run in runs))
    for name in (*STEPS, "complete"):
        print(f"{name:26}" + "".join(f"{run.seconds[name]:14.1f}" for run in runs))
    rows = {
        "agent's own CPU s": [f"{total(run.cpu_s):.2f}" for run in runs],
        "resident MB": [f"{run.resident_mb:.1f}" for run in runs],
        **{
            f"{verb}{name}": [f"{figure(run.looks[verb]):.2f}" for run in runs]
            for verb in VERBS
            for name, figure in FIGURES.items()
        },
        "slower than the host": [f"{run.slowness:.1f}" for run in runs],
        "load, 5 minutes": [f"{run.load:.1f}" for run in runs],
    }
    for name, cells in rows.items():
        print(f"{name:26}" + "".join(f"{cell:>14}" for cell in cells))
    for run in runs:
        print(f"\n{run.gib} GiB: the agent's own CPU, seconds")
        for name, seconds in sorted(run.cpu_s.items(), key=lambda each: -each[1])[:8]:
            print(f"{seconds:8.2f}  {name}")
        print(f"{run.gib} GiB: longest programs, seconds")
        for took, command in run.programs:
            print(f"{took:8.1f}  {command[:100]}")
        for line in run.changing:
            print(f"  not expected of a converged node: {line}")
    print()
    least, most = min(runs, key=lambda run: run.gib), max(runs, key=lambda run: run.gib)
    growth = most.seconds["mounted"] - least.seconds["mounted"]
    grown = f"{least.gib} to {most.gib} GiB: {growth:+.0f} s to mounted, under {GROWTH_S:g}"
    targets = {
        f"agent's own CPU: under {CPU_S:g} s at the host's speed": all(
            total(run.cpu_s) / run.slowness < CPU_S for run in runs
        ),
        "converged: no mutating command": not any(run.changing for run in runs),
        f"converged: under {CONVERGED_S:g} s at the host's speed": all(
            median(looks) / run.slowness < CONVERGED_S
            for run in runs
            for looks in run.looks.values()
        ),
        f"archive: {archive_bytes} bytes, under {ARCHIVE_KB} KB": archive_bytes < ARCHIVE_KB * 1000,
        f"resident: under {RESIDENT_MB} MB": all(run.resident_mb < RESIDENT_MB for run in runs),
        grown: growth < GROWTH_S,
    }
    for target, met in targets.items():
        print(f"{'met' if met else 'MISSED':8}{target}")
    return all(targets.values())


if __name__ == "__main__":
    sys.exit(main())
