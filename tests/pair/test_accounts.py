"""The fence account, made by ipmitool in OpenIPMI's simulated BMC, and used over the LAN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot import commands
from firstboot.commands import CommandError
from firstboot.fencing import accounts
from firstboot.fencing.lan import Unwilling
from tests.pair.simulated import VENDORS_IPMITOOL, logs_in, simulated


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    with simulated(tmp_path):
        yield VENDORS_IPMITOOL


def test_the_account_is_made_and_made_again(bmc: tuple[str, ...], tmp_path: Path) -> None:
    calls: list[str] = []

    def run(argv: list[str], **how: object) -> commands.Result:
        calls.append(" ".join(argv))
        return commands.run(argv, **how)  # type: ignore[arg-type]

    first, second = accounts.new_password(), accounts.new_password()
    assert not logs_in("ksfence", tmp_path, first)
    for password in (first, first, second):
        accounts.make(run, "ksfence", password, bmc)  # type: ignore[arg-type]
        assert logs_in("ksfence", tmp_path, password)
    assert not logs_in("ksfence", tmp_path, first), "the old password still opens"
    listed = commands.run([*bmc, "-c", "user", "list", "1"]).stdout
    assert listed.count("ksfence") == 1
    assert "3,ksfence,true,true,true,OPERATOR" in listed
    assert calls
    assert not any(first in call or second in call for call in calls)


def test_a_bmc_that_refuses_is_an_error(bmc: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="set password"):
        accounts.make(commands.run, "ksfence", "x" * 30, bmc)


# `ipmitool -c user list 1` 1.8.19 of OpenIPMI 2.0.33's ipmi_sim, cut to five accounts.
LISTED = """\
1,,true,false,true,USER
2,admin,true,false,true,ADMINISTRATOR
3,,true,false,false,Unknown (0x00)
4,ksfence,true,true,true,OPERATOR
5,,true,false,false,Unknown (0x00)
"""


def test_an_account_is_found_or_a_free_one_taken() -> None:
    assert accounts.choose_id(LISTED, "ksfence") == "4"
    assert accounts.choose_id(LISTED, "other") == "3"
    with pytest.raises(Unwilling, match="no free one"):
        accounts.choose_id("1,,true,false,true,USER\n2,admin,true,false,true,ADMIN\n", "other")


def test_passwords_are_of_every_kind_and_never_alike() -> None:
    made = {accounts.new_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert len(password) == 16
        assert password.isascii()
        assert password.isalnum()
        assert not password.islower()
        assert not password.isupper()
