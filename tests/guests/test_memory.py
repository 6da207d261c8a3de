"""The memory step with a real systemd; its two services are stand-ins that merge nothing."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot.engine import converge
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.memory import Memory
from tests.firstboot.conftest import Told, an_identity
from tests.guests.nodes import Node

INSTALL = "[Install]\nWantedBy=default.target\n"
CONF = "etc/ksmtuned.conf"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "images").mkdir()
    node = Node("justinian", tmp_path, tmp_path / "images")
    for name in ("ksm", "ksmtuned"):
        lay(node, name, "")
    try:
        node.start()
        yield node
    finally:
        node.stop()


def lay(node: Node, name: str, condition: str) -> None:
    text = f"{condition}[Service]\nKillMode=process\nExecStart=/bin/sleep infinity\n{INSTALL}"
    (node.root / f"etc/systemd/system/{name}.service").write_text(text)


def memory(node: Node, *, enabled: bool = True, sleep_ms: int = 10) -> Memory:
    identity = an_identity()
    ksm = replace(identity.pair.ksm, enabled=enabled, sleep_ms=sleep_ms)
    identity = replace(identity, pair=replace(identity.pair, ksm=ksm))
    meeting = Meeting(identity, node.root, "boot")
    return Memory(Context(identity, node.root, node.run, Told(), meeting))


def settle(step: Memory) -> Memory:
    """Apply it as the agent does, which gives systemd its time. Raises StepFailed."""
    converge([step], Told(), has=lambda _: True, sleep=lambda _: time.sleep(0.2))
    assert not step.check()
    return step


def started(node: Node) -> str:
    show = ("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "ksmtuned.service")
    return node(*show).stdout


def test_on_tuned_anew_and_off_again(node: Node) -> None:
    assert memory(node).check() == [
        "/etc/ksmtuned.conf is not as planned",
        "ksm.service is not enabled", "ksm.service does not run",
        "ksmtuned.service is not enabled", "ksmtuned.service does not run",
    ]  # fmt: skip
    settle(memory(node))
    before = started(node)
    assert memory(node, sleep_ms=20).check() == ["/etc/ksmtuned.conf is not as planned"]
    settle(memory(node, sleep_ms=20))
    assert "KSM_SLEEP_MSEC=20\n" in (node.root / CONF).read_text()
    assert started(node) != before, "it never read the file"
    off = memory(node, enabled=False, sleep_ms=20)
    assert "ksm.service is enabled" in off.check()
    assert "ksm.service runs" in off.check()
    settle(off)


def test_a_virtual_machine_runs_neither_and_says_so(node: Node) -> None:
    for name in ("ksm", "ksmtuned"):
        lay(node, name, "[Unit]\nConditionPathExists=/never\n")
    node("systemctl", "daemon-reload")
    assert "ksm.service does not run" in memory(node).check()
    step = settle(memory(node))
    assert step.remark() == "ksmtuned.service does not run here: systemctl status ksmtuned.service"
