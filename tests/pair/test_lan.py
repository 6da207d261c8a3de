"""The BMC's address, set by ipmitool in OpenIPMI's simulated BMC and read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot import commands
from firstboot.fencing import lan
from firstboot.fencing.lan import Unwilling
from tests.pair.simulated import AS_DELIVERED, VENDORS_IPMITOOL, simulated

ADDRESS, GATEWAY = "10.0.1.1/22", "10.0.3.254"
SET = {
    "ip_addr_src": "static",
    "ip_addr": "10.0.1.1",
    "subnet_mask": "255.255.252.0",
    "default_gw_ip_addr": "10.0.3.254",
}


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[Path]:
    """Its folder."""
    with simulated(tmp_path):
        yield tmp_path


def set_address(gateway: str | None = GATEWAY) -> None:
    lan.set_address(commands.run, ADDRESS, gateway, VENDORS_IPMITOOL)


def held(bmc: Path) -> dict[str, str]:
    found = json.loads((bmc / "lan-address").read_text())
    assert isinstance(found, dict)
    return found


def told(bmc: Path) -> list[dict[str, str]]:
    """What it was told, in order."""
    log = bmc / "lan-set"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_the_address_is_set_once(bmc: Path) -> None:
    set_address()
    assert held(bmc) == {**AS_DELIVERED, **SET}
    assert told(bmc) == [{name: value} for name, value in SET.items()]
    set_address()
    assert len(told(bmc)) == len(SET), "it was set although it was right"


@pytest.mark.parametrize("name", SET)
def test_one_wrong_value_is_enough(bmc: Path, name: str) -> None:
    (bmc / "lan-address").write_text(json.dumps({**AS_DELIVERED, **SET, name: AS_DELIVERED[name]}))
    set_address()
    assert held(bmc) == {**AS_DELIVERED, **SET}


def test_without_a_gateway_the_bmc_keeps_its_own(bmc: Path) -> None:
    set_address(None)
    assert held(bmc) == {**AS_DELIVERED, **SET, "default_gw_ip_addr": "192.168.1.1"}
    set_address(None)
    assert len(told(bmc)) == 3


def test_an_address_that_does_not_stay_is_named(bmc: Path) -> None:
    (bmc / "lan-stubborn").touch()
    with pytest.raises(Unwilling, match=r"given 10.0.1.1/22 and says .*IP Address 192.168.1.9"):
        set_address()


# `ipmitool lan print 1` 1.8.19 of OpenIPMI 2.0.33's ipmi_sim without LAN configuration: it stops at
# the first parameter that it has not, and exits 1.
SHORT = """\
Set in Progress         : Set Complete
Auth Type Support       : NONE MD2 MD5 PASSWORD
Auth Type Enable        : Callback : NONE MD2 MD5 PASSWORD
                        : User     : NONE MD2 MD5 PASSWORD
"""


def test_what_is_not_told_is_not_right() -> None:
    assert lan.parse(SHORT)["Set in Progress"] == "Set Complete"
    assert not lan.as_printed(ADDRESS, GATEWAY).items() & lan.parse(SHORT).items()
