"""The network port of this node's own BMC, by in-band IPMI: which channel it is, its address."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Optional

from firstboot.commands import Run

IPMITOOL = ("ipmitool",)  # the kernel's /dev/ipmi0
CHANNELS = range(1, 9)


class Unwilling(Exception):
    """What the BMC won't do; says why."""


def channel(run: Run, ipmitool: Sequence[str] = IPMITOOL) -> str:
    """The number of its first LAN channel. Raises Unwilling when it has none."""
    for number in CHANNELS:
        told = run([*ipmitool, "channel", "info", str(number)], ok=(0, 1))
        if re.search(r"Channel Medium Type\s*:\s*802\.3 LAN", told.stdout):
            return str(number)
    raise Unwilling("the BMC has no LAN channel")


def set_address(
    run: Run, address: str, gateway: Optional[str], ipmitool: Sequence[str] = IPMITOOL
) -> None:
    """Give it that static address (address/prefix); one that has it is not touched.

    Raises Unwilling when it says something else afterwards, or CommandError when it refuses.
    """
    number = channel(run, ipmitool)

    def differing() -> dict[str, str]:
        # A BMC that does not know every parameter makes ipmitool exit 1 at the end of its list.
        told = parse(run([*ipmitool, "lan", "print", number], ok=(0, 1)).stdout)
        return {name: told.get(name, "") for name, value in plan.items() if told.get(name) != value}

    plan = as_printed(address, gateway)
    if not differing():
        return
    parameters = ["ipsrc static", f"ipaddr {plan['IP Address']}", f"netmask {plan['Subnet Mask']}"]
    if gateway is not None:
        parameters.append(f"defgw ipaddr {gateway}")
    for parameter in parameters:
        run([*ipmitool, "lan", "set", number, *parameter.split()])
    if left := differing():
        said = ", ".join(f"{name} {value or 'untold'}" for name, value in left.items())
        raise Unwilling(f"it was given {address} and says {said}")


def as_printed(address: str, gateway: Optional[str]) -> dict[str, str]:
    """What `ipmitool lan print` says of a port that is as wanted; of the gateway where one is."""
    interface = ipaddress.IPv4Interface(address)
    plan = {
        "IP Address Source": "Static Address",
        "IP Address": str(interface.ip),
        "Subnet Mask": str(interface.netmask),
    }
    return plan if gateway is None else {**plan, "Default Gateway IP": gateway}


def parse(printed: str) -> dict[str, str]:
    """`ipmitool lan print` by name."""
    rows = [line.split(":", 1) for line in printed.splitlines() if ":" in line]
    return {name.strip(): value.strip() for name, value in rows}
