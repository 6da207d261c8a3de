"""lab/out: what the nodes say of themselves, what was seen from outside, and what they leave."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firstboot.latches import FENCING_PROVEN
from tests.lab.progress import Watch
from tests.uml.disk import read_files
from tests.uml.installation import Verdict
from tests.uml.pair import STATE, Server, TestPair

LOGS = {  # pacemaker tells its own log more than the journal
    "journal.txt": "journalctl --no-pager -o short-iso-precise",
    "pacemaker.log": "cat /var/log/pacemaker/pacemaker.log 2>/dev/null || :",
}
LOG_S = 180.0
OF_A_NODE = ("RESULT", "report.json", "report.txt", FENCING_PROVEN, "journal.jsonl")
CANNOT = "absent"  # how RESULT words "not on this platform"


def told_by(pair: TestPair, server: Server) -> dict[str, str]:
    """The node's own files by name, absent ones missing; off its disk where nobody lets us in."""
    try:
        script = f'cd {STATE} && for f in *; do [ -f $f ] && echo "@@@ $f" && cat $f; done; :'
        text = pair.on(server, script)
    except (subprocess.SubprocessError, OSError):
        server.outlet.switch_off()
        files = read_files(pair.images, server.disk, pair.root_number(server), [STATE])
        return {Path(path).name: data.decode(errors="replace") for path, data in files.items()}
    parts = (part.partition("\n") for part in text.split("@@@ ")[1:])
    return {name: content for name, _, content in parts}


def node_report(told: dict[str, str]) -> dict[str, Any]:
    """One node's part of report.json: its RESULT, its report, when it proved its fencing."""
    result = json.loads(told.get("RESULT", "{}"))
    steps = result.get("steps", {})
    return {
        "result": result,
        "report": json.loads(told.get("report.json", "null")),
        "fencing_proven": json.loads(told.get(FENCING_PROVEN, "null")),
        "not_on_this_platform": sorted(n for n, s in steps.items() if s["event"] == CANNOT),
    }


def whole(
    pair: TestPair, watch: Watch, verdicts: Sequence[Verdict], told: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """report.json; seconds count from power-on."""
    nodes = {name: node_report(files) for name, files in told.items()}
    results = [node["result"] for node in nodes.values()]
    logs = {
        server.name: [[round(at - watch.began, 1), what] for at, what in bmc.log]
        for server, bmc in zip(pair.servers, pair.bmcs, strict=True)
    }
    nonces = {result.get("description", "") for result in results}
    return {
        "complete": [result.get("verdict") for result in results] == ["complete"] * 2,
        "platform": pair.platform,
        "nonce": nonces.pop() if len(nonces) == 1 else None,
        "plan_digest": pair.digest,
        "nodes": nodes,
        "bmcs": logs,
        "rehearsal": {name: rehearsal(log) for name, log in logs.items()},
        "installation_s": {
            server.name: round(verdict.seconds, 1)
            for server, verdict in zip(pair.servers, verdicts, strict=True)
        },
        "stages_s": {
            name: {step: round(at, 1) for step, at in stages.items()}
            for name, stages in watch.stages.items()
        },
        "peak_mib": round(watch.peak_mib),
    }


def rehearsal(log: Sequence[Sequence[Any]]) -> dict[str, float]:
    """When a node's power was cut and given back for the first time, by its BMC's log."""
    return {what: next((at for at, said in log if said == what), -1.0) for what in ("off", "on")}


def keep(pair: TestPair, told: dict[str, dict[str, str]], out: Path) -> None:
    """Put consoles, journals and the nodes' own files below out, in place of earlier ones."""
    keep_consoles(pair, out)
    for server in pair.servers:
        folder = out / server.name
        for name in OF_A_NODE:
            if name in told[server.name]:
                (folder / name).write_text(told[server.name][name])
    keep_logs(pair, out)


def keep_logs(pair: TestPair, out: Path) -> None:
    """Put what each node that is on has written into its logs into out/NODE."""
    for server in pair.servers:
        if server.outlet.is_on():
            for name, command in LOGS.items():
                (out / server.name / name).write_text(pair.on(server, command, timeout=LOG_S))


def keep_consoles(pair: TestPair, out: Path) -> None:
    """Put what the consoles of all boots showed, installers included, into out/NODE."""
    for server in pair.servers:
        shutil.rmtree(out / server.name, ignore_errors=True)
        shutil.copytree(server.folder, out / server.name)
