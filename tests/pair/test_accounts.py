"""The fence account, made by ipmitool in OpenIPMI's simulated BMC, and used over the LAN."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot import commands
from firstboot.commands import CommandError
from firstboot.fencing import accounts
from firstboot.fencing.accounts import NoAccount

PORT = 19001
# A cipher suite is named, for the simulator lets ipmitool wait 10 s when asked for its suites.
REACH = ("-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", str(PORT))
VENDORS = ("-U", "admin", "-P", "test")  # here the LAN stands in for /dev/ipmi0

LAN = f"""
name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {PORT}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  user 1 true "" "test" user 10 none md2 md5 straight
  user 2 true "admin" "test" admin 10 none md2 md5 straight
"""
MACHINE = """
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    (tmp_path / "lan").write_text(LAN)
    (tmp_path / "machine").write_text(MACHINE)
    (tmp_path / "state").mkdir()
    files = ["-c", tmp_path / "lan", "-f", tmp_path / "machine", "-s", tmp_path / "state"]
    with subprocess.Popen(
        ["ipmi_sim", *map(str, files), "-n"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as simulator:
        try:
            deadline = time.monotonic() + 20
            while not logs_in("admin", tmp_path, "test"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield ("ipmitool", *REACH, *VENDORS)
        finally:
            simulator.kill()


def logs_in(user: str, folder: Path, password: str) -> bool:
    (folder / "password").write_text(password)
    login = ("-U", user, "-L", "OPERATOR", "-f", str(folder / "password"))
    done = commands.run(["ipmitool", *REACH, *login, "mc", "guid"], ok=(0, 1))
    return done.returncode == 0


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
    with pytest.raises(NoAccount, match="no free one"):
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
