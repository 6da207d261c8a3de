"""The pair of profiles/lab.toml as QEMU machines, from the medium's own boot menu onward.

A server starts from its disk, and from the medium in its drive while the disk has nothing to start:
SeaBIOS, the medium's menu, its kernel, the stand-in installer, the kickstart; then a restart, GRUB
on the disk, and the agent. All that is one machine that is switched on once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tests.qemu.accelerator import accelerator
from tests.qemu.images import StockImages
from tests.qemu.machine import Machine, Shares
from tests.uml.installation import Verdict, read_verdict
from tests.uml.lab import Cable, End
from tests.uml.machine import Disk, Hardware
from tests.uml.pair import PATIENCE_S, Server, TestPair
from tests.uml.running import MachineError, Running

PLATFORM = "debian12-qemu"
NODE_MIB = 1024
INSTALLED_S, SLOW_PATIENCE_S = 2400.0, 5400.0
# The line the machines talk on, and what spares a processor that is emulated: the kernel guards
# none against spying, doubts no clock, and systemd waits longer than 90 s for a service.
ARGUMENTS = (
    *("console=ttyS0,115200", "mitigations=off", "tsc=reliable"),
    "systemd.default_timeout_start_sec=600",
)


def as_qemu(profile: str) -> str:
    """The lab profile's text for these machines: the platform, and their kernels' arguments."""
    text = re.sub(r"^platform = .*$", f'platform = "{PLATFORM}"', profile, flags=re.MULTILINE)
    arguments = f"kernel_arguments = {json.dumps(ARGUMENTS)}"
    return re.sub(r"^kernel_arguments = .*$", arguments, text, flags=re.MULTILINE)


@dataclass
class QemuPair(TestPair):
    """Both servers in QEMU."""

    node_mib: int = NODE_MIB
    stock: StockImages | None = None
    pulled: set[tuple[str, int]] = field(default_factory=set)  # node and card without a cable

    @property
    def platform(self) -> str:
        """As the lab's setting LAB names it."""
        return "qemu"

    @property
    def patience_s(self) -> float:
        """How long both may take from power-on, or from their installation, to their RESULT."""
        return PATIENCE_S if self.accelerator == "kvm" else SLOW_PATIENCE_S

    @cached_property
    def accelerator(self) -> str:
        """What runs the machines' instructions."""
        assert self.stock
        return accelerator(self.stock.kernel)

    def install(
        self,
        server: Server,
        *,
        entry: str = "",
        arguments: Sequence[str] = (),
        script: str = "",
    ) -> Verdict:
        """Switch a server on, and wait until its installer is done; it goes on by itself.

        Raises ValueError where a hand at the menu would be needed, MachineError without a verdict.
        """
        if entry or arguments or script:
            raise ValueError("a QEMU server starts the menu's default entry")
        begin = time.monotonic()
        server.outlet.switch_on()
        result = server.folder / "install/out/RESULT.json"
        while not result.exists():
            if not server.outlet.is_on() or time.monotonic() - begin > INSTALLED_S:
                tail = "\n".join(server.outlet.console_text().splitlines()[-40:])
                raise MachineError(f"{server.name}: no verdict; its console ends:\n{tail}")
            time.sleep(0.5)
        return replace(read_verdict(server.folder / "install"), seconds=time.monotonic() - begin)

    def _boot(self, number: int, boot: int) -> Running | None:
        assert self.stock
        server = self.servers[number]
        out = server.folder / "install/out"
        out.mkdir(parents=True, exist_ok=True)
        (out / "rootfs").write_text(f"{self.stock.rootfs.name}\n")
        machine = Machine(
            self.lab,
            server.name,
            Hardware(
                disks=[Disk(server.disk, write_cache=self.write_cache)],
                nics=server.nics,
                memory=self.node_mib,
                clock_offset_s=server.clock_offset_s,
            ),
            console=server.folder / f"console-{boot}",
            accelerator=self.accelerator,
            disc=self.medium,
            shares=Shares({"out": out}, {"rootfs": self.stock.rootfs.parent}),
        )
        for name, card in self.pulled:
            if name == server.name:
                machine.set_link(card, up=False)
        return machine

    def pull_cable(self, cable: Cable) -> None:
        """Pull a cable out at both ends, also of a server that is switched on later."""
        for server, card in self._cards(cable):
            self.pulled.add((server.name, card))
            self._set_link(server, card, up=False)

    def plug_cable(self, cable: Cable) -> None:
        """Plug it in again."""
        for server, card in self._cards(cable):
            self.pulled.discard((server.name, card))
            self._set_link(server, card, up=True)

    def _set_link(self, server: Server, card: int, *, up: bool) -> None:
        if server.outlet.is_on():
            machine = server.outlet.machine
            assert isinstance(machine, Machine)
            machine.set_link(card, up=up)

    def _cards(self, cable: Cable) -> list[tuple[Server, int]]:
        ends: list[End] = [cable.a, cable.b]
        return [
            (server, card)
            for server in self.servers
            for card, nic in enumerate(server.nics)
            if nic.end in ends
        ]
