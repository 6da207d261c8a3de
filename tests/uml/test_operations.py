"""What a human types on a pair that is complete: rehearse, go on alone, start over. All slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.bringup import Stock, complete_pair
from tests.uml.images import Images
from tests.uml.pair import TestPair

pytestmark = [pytest.mark.uml, pytest.mark.slow, pytest.mark.timeout(3600)]

COMPLETE_S, AGAIN_S = 1500.0, 900.0


@pytest.fixture(scope="module")
def pair(
    pair_images: Images, el9_iso: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestPair]:
    """A complete pair with a file on it, both nodes running."""
    stock = Stock(el9_iso, pair_images)
    with complete_pair(stock, tmp_path_factory.mktemp("operations") / "pair") as made:
        yield made


def test_a_complete_pair_rehearses_through_its_cluster(pair: TestPair) -> None:
    first, second = pair.servers
    boots, offs = len(second.outlet.machines), pair.bmcs[1].told("off")
    said = pair.on(first, "ksnode rehearse julius", timeout=AGAIN_S)
    assert "justinian can cut julius's power" in said
    assert len(second.outlet.machines) == boots + 1
    assert pair.bmcs[1].told("off") == offs + 1
    assert pair.bmcs[0].told("off") == 1, "nobody fenced back"
    assert pair.on(second, "cat /srv/vmdata/file") == "kept\n"


def test_one_node_goes_on_alone_when_told_that_the_other_is_off(pair: TestPair) -> None:
    first, second = pair.servers
    for server in pair.servers:
        server.outlet.switch_off()
    first.outlet.switch_on()
    first.outlet.machine.wait_console("ksnode start-alone julius", AGAIN_S)
    assert "vmdata" not in pair.on(first, "cat /proc/mounts")
    pair.on(first, "ksnode start-alone julius", timeout=AGAIN_S)
    assert pair.on(first, "cat /srv/vmdata/file") == "kept\n"
    pair.on(first, "echo alone >/srv/vmdata/alone; sync")
    # Fencing gave it its power back; its gate lets it in, and DRBD brings it up to date.
    second.outlet.switch_on()
    second.outlet.machine.wait_console("ksnode: mounted: ok", AGAIN_S)
    assert pair.on(second, "cat /srv/vmdata/alone") == "alone\n"


def test_a_pair_starts_over(pair: TestPair) -> None:
    """Typed on both, the attempt is forgotten, and they become a pair once more."""
    for server in pair.servers:
        told = pair.on(server, f"ksnode reset --node {server.name} 2>&1 || :")
        assert f"ksnode reset --node {server.name} --cluster lab" in told
    for server in pair.servers:
        command = f"ksnode reset --node {server.name} --cluster lab"
        assert "is as it was installed" in pair.on(server, command, timeout=AGAIN_S)
    for server in pair.servers:
        pair.on(server, "systemctl start ksnode")
    for server in pair.servers:
        shown = server.outlet.console_text().count("ksnode: complete")
        server.outlet.wait_console("ksnode: complete", COMPLETE_S, after=shown)
    for server in pair.servers:
        assert "vmdata" in pair.on(server, "grep gfs2 /proc/mounts")
        assert pair.on(server, "ls /srv/vmdata") == ""
