"""A boot storm: every node of many pairs starts at once, against ksbuild serve on loopback.

    python -m bench.serve [--nodes 200] [--folder build/bench-serve]

Each node asks its boot loader's question, fetches its kickstart three times (once a port, as
Anaconda does) and tells 30 events, each over a connection of its own. "Until it serves" is reading,
checking and rendering all profiles. Seconds are the clients', which share the machine with the
server; "resident" is the server's VmHWM.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from builder.plan import tokens

ROOT = Path(__file__).parents[1]
FETCHES, EVENTS = 3, 30
P99_S, RESIDENT_MB = 1.0, 150
PORT = 18080
STAGES = ("packages", "uplink", "host", "cabling", "replication")


@dataclass(frozen=True)
class Node:
    """One server that starts."""

    name: str
    mac: str
    serial: str
    secret: str


@dataclass
class Storm:
    """What came of it: seconds of each kind of request, and what was no success."""

    took: dict[str, list[float]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)

    async def ask(self, kind: str, head: str, body: bytes = b"", expected: int = 200) -> bytes:
        """One request over one connection."""
        started = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            lines = f"Host: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}{lines}\r\n".encode() + body)
            answer = await reader.read(-1)
            writer.close()
        except OSError as error:
            self.wrong[f"{kind}: {type(error).__name__}"] += 1
            return b""
        self.took.setdefault(kind, []).append(time.perf_counter() - started)
        status = answer.split(b" ", 2)[1:2]
        if status != [str(expected).encode()]:
            self.wrong[f"{kind}: {status}"] += 1
        return answer

    async def start(self, node: Node) -> None:
        """Everything that one node asks and tells while it is installed."""
        script = await self.ask("boot", f"GET /boot/{node.mac}/ipxe HTTP/1.1\r\n")
        path = f"/ks/{tokens.kickstart(node.secret, node.name, 1)}"
        if path.encode() not in script:
            self.wrong["boot: not this node's"] += 1
        known = f"X-RHN-Provisioning-MAC-0: ens2 {node.mac}\r\n"
        known += f"X-System-Serial-Number: {node.serial}\r\n"
        fetching = f"GET {path} HTTP/1.1\r\n{known}"
        fetched = await asyncio.gather(*(self.ask("kickstart", fetching) for _ in range(FETCHES)))
        if not all(text.endswith(b"%end\n") for text in fetched):
            self.wrong["kickstart: not whole"] += 1
        token = tokens.progress(node.secret, node.name)
        head = f"POST /events HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"
        for number in range(EVENTS):
            said = {"stage": STAGES[number % len(STAGES)], "event": "waiting", "detail": number}
            await self.ask("event", head, urlencode(said).encode(), expected=204)


def profiles(folder: Path, pairs: int) -> list[Path]:
    """As many pairs as asked for, alike but for names, ids, ports and serial numbers."""
    text = (ROOT / "profiles/example.toml").read_text()
    made = []
    for number in range(pairs):
        path = folder / f"pair-{number:03}.toml"
        own = text.replace('"00014"', f'"{number:05}"').replace("2f0c5a8e", f"{number + 1:08x}")
        own = own.replace("00:25:B3", f"02:{number:02X}:B3").replace("CZC00014", f"CZC{number:05}")
        path.write_text(own)
        made.append(path)
    return made


def nodes(made: Sequence[Path]) -> list[Node]:
    """Both nodes of each pair, with the key their tokens come from."""
    found = []
    for number, path in enumerate(made):
        secret = path.with_suffix(".keys").joinpath("serve_tokens.key").read_text().strip()
        for name, port, serial in (("justinian", "22:D9:3C", "A1"), ("julius", "22:E1:3C", "A2")):
            mac = f"02:{number:02X}:B3:{port}"
            found.append(Node(name, mac, f"CZC{number:05}{serial}", secret))
    return found


async def storm(everybody: Sequence[Node]) -> Storm:
    """All at once."""
    one = Storm()
    await asyncio.gather(*(one.start(node) for node in everybody))
    return one


def resident_mb(pid: int) -> float:
    """The most memory a process had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far (proc(5): utime, stime in ticks)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print what it took; 1 where an aim was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/bench-serve")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    made = profiles(arguments.folder, arguments.nodes // 2)
    command = [sys.executable, "-m", "builder", "serve", *map(str, made), "--json", "--quiet"]
    command += ["--listen", f"127.0.0.1:{PORT}", "--state", str(arguments.folder / "state.sqlite")]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout
        told = "".join(iter(server.stdout.readline, "}\n")) + "}"
        assert len(json.loads(told)["pairs"]) == len(made)
        until_s = time.perf_counter() - started
        idle_mb = resident_mb(server.pid)
        began, before_s = time.perf_counter(), cpu_s(server.pid)
        came = asyncio.run(storm(nodes(made)))
        whole_s, most_mb = time.perf_counter() - began, resident_mb(server.pid)
        used_s = cpu_s(server.pid) - before_s
        server.terminate()
    print(f"{until_s:.1f} s until it serves, {idle_mb:.0f} MB then")
    return report(came, whole_s, used_s, most_mb)


def report(came: Storm, whole_s: float, used_s: float, most_mb: float) -> int:
    """Print it, beside what it is meant to be."""
    count = sum(map(len, came.took.values()))
    print(
        f"load {os.getloadavg()[0]:.1f}; {count} requests in {whole_s:.1f} s, {used_s:.1f} s of CPU"
    )
    print(f"wrong: {dict(came.wrong) or 'none'}")
    for kind, took in came.took.items():
        p99 = statistics.quantiles(took, n=100)[98]
        aim = f" (meant to be under {P99_S:g})" if kind == "kickstart" else ""
        print(f"  {kind:<10} {len(took):>6} times, median {statistics.median(took):.3f} s,", end="")
        print(f" 99 % within {p99:.3f} s{aim}")
    print(f"  resident {most_mb:.0f} MB (meant to be under {RESIDENT_MB})")
    kickstarts = statistics.quantiles(came.took["kickstart"], n=100)[98]
    return int(bool(came.wrong) or kickstarts >= P99_S or most_mb >= RESIDENT_MB)


if __name__ == "__main__":
    sys.exit(main())
