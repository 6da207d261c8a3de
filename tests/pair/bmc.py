"""A real IPMI 2.0 BMC (pyghmi) as a process: `python -m tests.pair.bmc PORT PASSWORD GUID`.

It asks whoever started it: writes "off", "on" or "status" and waits for a line, "on" or "off", the
machine's power afterwards. Account: ksfence.
"""

import sys
import uuid
from typing import Any

from pyghmi.ipmi.bmc import Bmc


class Machine(Bmc):  # type: ignore[misc]  # pyghmi has no types
    """What the BMC is fitted in: the process at the other end of the pipes."""

    guid = uuid.UUID(int=0)
    boot_device = "default"

    def get_system_guid(self) -> uuid.UUID:
        return self.guid

    def get_power_state(self) -> str:
        return tell("status")

    def power_off(self) -> None:
        tell("off")

    def power_on(self) -> None:
        tell("on")

    def set_boot_device(self, device: Any) -> None:
        tell(f"boot {device}")


def tell(line: str) -> str:
    print(line, flush=True)
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    machine = Machine({"ksfence": sys.argv[2]}, port=int(sys.argv[1]), address="127.0.0.1")
    machine.guid = uuid.UUID(sys.argv[3])
    tell("ready")
    machine.listen()
