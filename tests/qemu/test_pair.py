"""The whole pair in QEMU: one unbroken chain from the medium's menu, and a cable that is pulled."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.bringup import a_pair, bring_up, install, stock
from tests.lab.carrier import pull_one_cable
from tests.lab.drilling import Drilling
from tests.lab.guests import counting_guest
from tests.lab.progress import Printed
from tests.lab.report import told_by, whole
from tests.qemu.test_server import CHAIN
from tests.uml.pair import PROFILE, TestPair

pytestmark = [pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(3 * 3600)]

NONCE = "through the profile and back"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPair]:
    tell = Printed()
    folder = tmp_path_factory.mktemp("qemu") / "pair"
    with (
        pytest.MonkeyPatch.context() as patch,
        a_pair(qemu_stock(patch, tell), folder, PROFILE, description=NONCE) as made,
    ):
        yield made


def qemu_stock(patch: pytest.MonkeyPatch, tell: Printed) -> Any:
    patch.setenv("LAB", "qemu")
    return stock(tell)


@pytest.fixture(scope="module")
def report(pair: TestPair) -> dict[str, Any]:
    """What `make lab` would report; the pair goes on running."""
    tell = Printed()
    verdicts = install(pair, tell)
    watch = bring_up(pair, tell)
    told = {server.name: told_by(pair, server) for server in pair.servers}
    return whole(pair, watch, verdicts, told)


def test_the_pair_is_complete(report: dict[str, Any]) -> None:
    assert report["complete"], report["nodes"]
    assert (report["platform"], report["nonce"]) == ("qemu", NONCE)
    for name, node in report["nodes"].items():
        assert node["not_on_this_platform"] == []
        assert report["rehearsal"][name]["off"] > 0


def test_nobody_touched_it_from_the_menu_to_the_agent(
    pair: TestPair, report: dict[str, Any]
) -> None:
    assert report
    for server in pair.servers:
        first = server.outlet.machines[0].console_text()
        at = 0
        for text in CHAIN:
            at = first.index(text, at)


@pytest.mark.parametrize("drill", [pull_one_cable, counting_guest])
def test_a_drill(pair: TestPair, report: dict[str, Any], drill: Callable[[Drilling], None]) -> None:
    assert report["complete"]
    drilling = Drilling(pair, Printed(), random.Random())  # noqa: S311 - any cable
    try:
        drill(drilling)
    finally:
        drilling.stop()
        print(drilling.figures)


def test_the_power_button_ends_it_in_an_orderly_way(pair: TestPair, report: dict[str, Any]) -> None:
    assert report["complete"]
    for server in pair.servers:
        server.outlet.shut_down()
        assert server.outlet.machine.exit_status == 0
        assert "reboot: Power down" in server.outlet.machine.console_text()
