"""A bring-up as it was: what both agents of a real pair wrote, told to a server in that order."""

import json
from collections.abc import Iterator
from pathlib import Path

from firstboot.engine import Refused, Step, converge
from tests.serve.running import NODES, Running

RECORDED = Path(__file__).parent / "recorded"
INSTALLATION = (
    ("installer", "started", "this is {node} "),
    ("kickstart", "done", "read by the installer"),
    ("disk", "started", ""),
    ("disk", "done", "/dev/sda, ks-data at sector 75507712"),
    ("packages", "started", ""),
    ("packages", "done", ""),
    ("installed", "done", ""),
    ("first-boot", "done", "the agent has started"),
)
Told = tuple[str, str, str, str]  # node, stage, event, detail


def whole() -> Iterator[Told]:
    """Both nodes from the installer to complete."""
    for stage, event, detail in INSTALLATION:
        for node in NODES:
            yield node, stage, event, detail.format(node=node)
    yield from agents()
    report = (RECORDED / "lab-report.txt").read_text()
    for node in NODES:
        yield node, "report", "done", report
        yield node, "result", "complete", f"with {NODES[node == NODES[0]]}"


def agents() -> Iterator[Told]:
    """What the agents said, by their clocks, which agreed."""
    said = []
    for node in NODES:
        for line in (RECORDED / f"lab-{node}.jsonl").read_text().splitlines():
            record = json.loads(line)
            said.append((record["at"], node, record["step"], record["event"], record["detail"]))
    for _, node, step, event, detail in sorted(said, key=lambda told: told[0]):
        yield node, step, event, detail


class WrongBmc(Step):
    """What the fencing step says of a BMC that answers for the wrong server."""

    name = "fencing"

    def check(self) -> list[str]:
        raise Refused(
            "ilo4 at 10.0.1.113 is not shown to be julius's: its GUID is <this server's own>,\n"
            "30313436-3631-5A43-3330-303131444C41",
            "look at address in [[node.fencing]] of both nodes, build the medium anew, then: "
            "ksnode run",
        )

    def apply(self) -> None:
        """Never."""


def failed() -> Iterator[Told]:
    """The same until fencing, where the first node stops and the second waits for it."""
    for stage, event, detail in INSTALLATION:
        for node in NODES:
            yield node, stage, event, detail.format(node=node)
    for node, step, event, detail in agents():
        if step == "fencing":
            break
        yield node, step, event, detail
    said: list[Told] = []
    try:
        converge([WrongBmc()], lambda *told: said.append(("justinian", *filled(told))), has=bool)
    except Refused:
        yield from said
    yield "julius", "fencing", "waiting", "for justinian"


def filled(told: tuple[str, ...]) -> tuple[str, str, str]:
    """Step, event and detail, which may have been left out."""
    step, event, detail = (*told, "")[:3]
    return step, event, detail


def play(server: Running, bring_up: Iterator[Told]) -> Iterator[Told]:
    """Tell it one by one; each is told before it is given."""
    for node, stage, event, detail in bring_up:
        assert server.tell(stage, event, detail, node=node).status == 204
        yield node, stage, event, detail
