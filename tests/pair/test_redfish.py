"""Our own Redfish client, and the real fence_redfish, against the service of tests.pair.service."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import commands
from firstboot.commands import CommandError
from firstboot.fencing import redfish
from firstboot.fencing.power import Power
from firstboot.fencing.rehearsal import OFF, ON
from firstboot.node import FenceDevice
from firstboot.render import fencedevice
from tests.firstboot.conftest import a_pair
from tests.pair.service import SYSTEM, Service, serving

PORT = 18446
PASSWORD = "canary-of-redfish"  # noqa: S105
UUID = "38947555-7742-3448-3784-823347823834"
HERE = redfish.Place("127.0.0.1", PORT, "ksfence", PASSWORD)
STRANGER = replace(HERE, password="wrong")  # noqa: S106
ONCE = {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Hdd"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[type[Service]]:
    with serving(tmp_path, PORT, PASSWORD) as service:
        yield service


@pytest.fixture
def power(tmp_path: Path) -> Power:
    """justinian's, as julius has it."""
    pair = a_pair()
    bmc = FenceDevice(1, "redfish", "127.0.0.1", PORT, "ksfence", None, None)
    first = replace(pair.nodes[0], fencing=(bmc,))
    (device, _) = fencedevice.devices(replace(pair, nodes=(first, pair.nodes[1])))
    (tmp_path / "etc/ksbuild/secrets").mkdir(parents=True)
    (tmp_path / "etc/ksbuild/secrets" / device.secret).write_text(PASSWORD)
    return Power(tmp_path, commands.run, [device])


def boot(service: type[Service]) -> dict[str, str]:
    return {name: service.resources[SYSTEM]["Boot"][name] for name in ONCE}


@pytest.mark.usefixtures("service")
def test_the_systems_uuid() -> None:
    assert redfish.uuids(HERE) == [UUID]
    assert redfish.uuids(STRANGER) == []


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"Members": 1},
        {"Members": [{"@odata.id": "http://elsewhere/"}]},
        {"Members": [1, {}]},
        {"Members": []},
        {"Members": [{"@odata.id": "/redfish/v1/none"}]},
        {"Members": "x" * redfish.MOST_BYTES},
    ],
)
def test_nonsense_is_no_uuid_and_sets_nothing(service: type[Service], answer: object) -> None:
    service.resources["/redfish/v1/Systems"] = answer
    assert redfish.uuids(HERE) == []
    assert not redfish.boot_from_disk(HERE)
    assert boot(service) != ONCE


def test_nobody_there_is_no_uuid_and_shuts_nobody_out() -> None:
    assert redfish.uuids(HERE) == []
    assert not redfish.boot_from_disk(HERE)
    assert not redfish.shuts_out(HERE)


@pytest.mark.usefixtures("service")
def test_who_is_let_in() -> None:
    assert redfish.shuts_out(STRANGER)
    assert not redfish.shuts_out(HERE)


@pytest.mark.parametrize("demands_tag", [False, True])
def test_the_next_boot_is_from_disk(service: type[Service], demands_tag: bool) -> None:
    service.demands_tag = demands_tag
    assert boot(service) != ONCE
    assert not redfish.boot_from_disk(STRANGER)
    assert boot(service) != ONCE
    assert redfish.boot_from_disk(HERE)
    assert boot(service) == ONCE


def test_of_several_systems_it_is_the_one_that_is_switched(service: type[Service]) -> None:
    others = [{"@odata.id": f"/redfish/v1/Systems/{name}"} for name in ("0", "1")]
    service.resources["/redfish/v1/Systems"] = {"Members": others}
    assert redfish.boot_from_disk(HERE)
    assert boot(service) == ONCE


def test_power_by_the_real_agent(
    service: type[Service], power: Power, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    system = service.resources[SYSTEM]
    assert power.state() == ON
    power.off()
    assert (power.state(), system["PowerState"]) == (OFF, "Off")
    assert power.boot_from_disk(efi=True)
    assert boot(service) == ONCE
    power.on()
    assert (power.state(), system["PowerState"]) == (ON, "On")
    assert power.guids() == [UUID]
    assert "fence_redfish" in caplog.text
    assert PASSWORD not in caplog.text


def test_a_service_without_boot_override_says_so(service: type[Service], power: Power) -> None:
    service.knows_boot = False
    assert not power.boot_from_disk(efi=False)


def test_an_account_that_is_not_let_in_is_an_error(service: type[Service], power: Power) -> None:
    service.login = "Basic of somebody else"
    with pytest.raises(CommandError, match="fence_redfish exited 1"):
        power.state()
    with pytest.raises(CommandError, match="fence_redfish exited 1"):
        power.off()
    assert service.resources[SYSTEM]["PowerState"] == "On"
