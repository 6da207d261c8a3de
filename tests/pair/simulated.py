"""OpenIPMI's simulated BMC: accounts and LAN configuration as IPMI 2.0 has them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from firstboot import commands

PORT = 19001
# A cipher suite is named, for the simulator lets ipmitool wait 10 s when asked for its suites.
REACH = ("-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", str(PORT))
# The vendor's account over the LAN stands in for /dev/ipmi0.
VENDORS_IPMITOOL = ("ipmitool", *REACH, "-U", "admin", "-P", "test")

LAN = """
name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
    lan_config_program "{folder}/lan-config"
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
# What the simulator asks to read and set its port's address, which it does not keep itself.
CONFIG = f"""#!{sys.executable}
import json, pathlib, sys
file = pathlib.Path(__file__).with_name("lan-address")
held, (action, *rest) = json.loads(file.read_text()), sys.argv[1:]
if action == "get":
    print("".join(f"{{name}}:{{held[name]}}\\n" for name in rest), end="")
elif action == "set":
    pairs = dict(zip(rest[::2], rest[1::2]))
    with file.with_name("lan-set").open("a") as log:
        log.write(json.dumps(pairs) + "\\n")
    if not file.with_name("lan-stubborn").exists():
        file.write_text(json.dumps({{**held, **pairs}}))
"""
AS_DELIVERED = {
    "ip_addr_src": "dhcp",
    "ip_addr": "192.168.1.9",
    "subnet_mask": "255.255.255.0",
    "default_gw_ip_addr": "192.168.1.1",
    "mac_addr": "52:54:00:00:00:09",
    "default_gw_mac_addr": "00:00:00:00:00:00",
    "backup_gw_ip_addr": "192.168.1.2",
    "backup_gw_mac_addr": "00:00:00:00:00:00",
}


@contextlib.contextmanager
def simulated(folder: Path, machine: str = "") -> Iterator[None]:
    """One on PORT; `lan-address` in `folder` is what it has, `lan-set` what it was told.

    `machine` are more lines of ipmi_sim_cmd(5).
    """
    (folder / "lan").write_text(LAN.format(port=PORT, folder=folder))
    (folder / "machine").write_text(MACHINE + machine)
    (folder / "state").mkdir()
    (folder / "lan-address").write_text(json.dumps(AS_DELIVERED))
    (folder / "lan-config").write_text(CONFIG)
    (folder / "lan-config").chmod(0o755)
    files = ["-c", folder / "lan", "-f", folder / "machine", "-s", folder / "state"]
    with subprocess.Popen(
        ["ipmi_sim", *map(str, files), "-n"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as simulator:
        try:
            deadline = time.monotonic() + 20
            while not logs_in("admin", folder, "test"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield
        finally:
            simulator.kill()


def logs_in(user: str, folder: Path, password: str) -> bool:
    (folder / "password").write_text(password)
    login = ("-U", user, "-L", "OPERATOR", "-f", str(folder / "password"))
    done = commands.run(["ipmitool", *REACH, *login, "mc", "guid"], ok=(0, 1))
    return done.returncode == 0
