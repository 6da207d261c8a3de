"""What a node does in its own BMC before its peer uses it: the simulated one stands behind."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from firstboot import commands
from firstboot.engine import Refused
from firstboot.fencing import aim
from firstboot.fencing.exchange import IPMI, Passwords, makes_account, marked
from firstboot.fencing.power import Power
from firstboot.node import FenceDevice, Identity
from firstboot.render import fencedevice
from tests.firstboot.conftest import an_identity
from tests.pair.service import serving
from tests.pair.simulated import VENDORS_IPMITOOL, logs_in, simulated

PORT = 18447
SECRET = "etc/ksbuild/secrets/fence-justinian-1"  # noqa: S105 - its path


class InBand:
    """Runs ipmitool against the simulated BMC; modprobe finds it, or nothing."""

    def __init__(self, root: Path) -> None:
        self.root, self.finds, self.calls = root, True, list[str]()

    def __call__(self, argv: Sequence[str], **how: Any) -> commands.Result:
        self.calls.append(" ".join(argv))
        if argv[0] == "modprobe":
            if self.finds:
                (self.root / "dev").mkdir(parents=True, exist_ok=True)
                (self.root / IPMI).touch()
            return commands.Result(tuple(argv), 0 if self.finds else 1, "", "")
        return commands.run([*argv[: argv.index("ipmitool")], *_behind(argv)], **how)


def _behind(argv: Sequence[str]) -> tuple[str, ...]:
    return (*VENDORS_IPMITOOL, *argv[argv.index("ipmitool") + 1 :])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[InBand]:
    (tmp_path / "bmc").mkdir()
    with simulated(tmp_path / "bmc"):
        yield InBand(tmp_path / "root")


def of(device: FenceDevice, platform: str = "el9") -> Identity:
    """justinian, with that device alone."""
    identity = an_identity("justinian", platform)
    first, second = identity.pair.nodes
    nodes = (dataclasses.replace(first, fencing=(device,)), second)
    return dataclasses.replace(identity, pair=dataclasses.replace(identity.pair, nodes=nodes))


def a_bmc(agent: str, **more: Any) -> FenceDevice:
    return dataclasses.replace(
        FenceDevice(1, agent, "10.0.1.1", None, "ksfence", None, None), **more
    )


@pytest.mark.parametrize("agent", ["ipmilan", "ilo4", "ilo5", "redfish"])
def test_each_bmc_gets_its_address_and_its_account(run: InBand, agent: str) -> None:
    identity = of(a_bmc(agent, set_address="10.0.1.1/22", set_gateway="10.0.3.254"))
    Passwords(identity, run.root, run).provide()
    password = (run.root / SECRET).read_text()
    bmc = run.root.parent / "bmc"
    assert json.loads((bmc / "lan-address").read_text())["ip_addr"] == "10.0.1.1"
    assert logs_in("ksfence", bmc, password)
    places = [n for n, call in enumerate(run.calls) if " lan set " in call or "user set" in call]
    named = [run.calls[n].split(" ")[1] for n in places if "setsid" not in run.calls[n]]
    assert named == ["lan"] * 4 + ["user"], "its address is set before its account"
    assert not [call for call in run.calls if password in call]


def test_with_a_password_file_only_the_address_is_set(run: InBand) -> None:
    device = a_bmc("redfish", set_address="10.0.1.1/22", password_file="/root/bmc")  # noqa: S106
    (run.root / "root").mkdir(parents=True)
    (run.root / "root/bmc").touch(0o600)
    (run.root / "root/bmc").write_text("given\n")
    Passwords(of(device), run.root, run).provide()
    assert (run.root / SECRET).read_text() == "given"
    assert not [call for call in run.calls if "user set" in call]
    assert [call for call in run.calls if "lan set" in call]


def test_a_bmc_that_keeps_its_address_stops_the_node(run: InBand) -> None:
    (run.root.parent / "bmc/lan-stubborn").touch()
    with pytest.raises(Refused, match="does not take its address: it was given") as refused:
        Passwords(of(a_bmc("ilo4", set_address="10.0.1.1/22")), run.root, run).provide()
    assert "leave set_address out" in refused.value.way_out


@pytest.mark.parametrize("agent", ["ipmilan", "redfish"])
def test_without_a_bmc_in_sight_the_way_out_is_named(tmp_path: Path, agent: str) -> None:
    run = InBand(tmp_path)
    run.finds = False
    with pytest.raises(Refused, match="there is no /dev/ipmi0") as refused:
        Passwords(of(a_bmc(agent)), tmp_path, run).provide()
    assert "password_file" in refused.value.way_out
    assert run.calls == ["modprobe -a ipmi_si ipmi_devintf"]


def test_whose_account_is_made_and_what_it_shows() -> None:
    """A login over Redfish does not show whose BMC it is: there the UUID has to."""
    assert makes_account(of(a_bmc("redfish")), a_bmc("redfish"))
    assert not marked(of(a_bmc("redfish")), a_bmc("redfish"))
    assert marked(of(a_bmc("ilo5")), a_bmc("ilo5"))
    for device in (a_bmc("redfish", password_file="/f"), a_bmc("custom")):  # noqa: S106
        assert not makes_account(of(device), device)
    lab = of(a_bmc("ipmilan"), "debian12-lab")
    assert not makes_account(lab, a_bmc("ipmilan"))


@pytest.mark.parametrize("known", [True, False])
def test_a_redfish_that_does_not_know_the_account_is_named(tmp_path: Path, known: bool) -> None:
    identity = of(a_bmc("redfish", address="127.0.0.1", port=PORT))
    (device, _) = fencedevice.devices(identity.pair)
    (tmp_path / SECRET).parent.mkdir(parents=True)
    (tmp_path / SECRET).write_text("made over IPMI")
    powers = [Power(tmp_path, commands.run, [device])]
    peer = dataclasses.replace(identity, node="julius")
    aim.check_logins(peer, powers)  # nobody answers yet
    with serving(tmp_path, PORT, "made over IPMI" if known else "another"):
        if known:
            aim.check_logins(peer, powers)
            return
        with pytest.raises(Refused, match=r"fence_redfish at 127\.0\.0\.1 does not let") as refused:
            aim.check_logins(peer, powers)
    assert "the file on justinian" in refused.value.way_out
