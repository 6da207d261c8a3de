"""One server in QEMU, switched on once: from the medium's menu to its agent, off by its button."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.bringup import a_pair, stock
from tests.lab.progress import Printed
from tests.uml.pair import PROFILE

pytestmark = [pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(3600)]

# In this order on the console of a server that is switched on once.
CHAIN = (
    *("Automatic boot in", "Loading /images/pxeboot/vmlinuz", "stand-in: SUCCESS"),
    *("reboot: machine restart", "Linux version", "ksnode: preflight: ok"),
)
AGENT_S = 1200.0


def test_from_the_menu_to_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its peer it comes as far as waiting for it; firewalld is there."""
    monkeypatch.setenv("LAB", "qemu")
    with a_pair(stock(Printed()), tmp_path / "pair", PROFILE) as pair:
        server = pair.servers[0]
        verdict = pair.install(server)
        assert verdict.success, (verdict.reason, verdict.script_tail)
        for step in ("preflight", "firewall", "uplink", "host", "cabling"):
            server.outlet.wait_console(f"ksnode: {step}: ", AGENT_S)
        zones = pair.on(server, "firewall-cmd --get-zones", timeout=300)
        server.outlet.shut_down()
        assert "crossover" in zones.split()
        assert server.outlet.machine.exit_status == 0
        (machine,) = server.outlet.machines
        text, at = machine.console_text(), 0
        for said in (*CHAIN, "reboot: Power down"):
            at = text.index(said, at)
