"""The bond over the crossover cables, from keyfiles that name ports by permanent MAC."""

from collections.abc import Sequence

from firstboot import facts, files
from firstboot.engine import Refused, Step
from firstboot.node import BOND
from firstboot.render.networkmanager.crossover import BOND_CONNECTION, render
from firstboot.render.networkmanager.keyfile import CONNECTIONS
from firstboot.steps import Context

UP_TIMEOUT_S = 90


class CrossoverBond(Step):
    """Goes on with the ports that are there; none at all is refused."""

    name = "crossover"
    settles_s = 30.0  # ports join the bond after it is up

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files = render(context.identity, context.identity.me.crossover_ports)
        self._absent: list[str] = []

    def remark(self) -> str:
        """The planned ports that this machine does not have."""
        return f"no such port: {', '.join(self._absent)}" if self._absent else ""

    def check(self) -> Sequence[str]:
        """Files that differ, and how the running bond differs from the plan."""
        ports = self._ports()
        missing = files.differing(self._context.root, self._files)
        bond = facts.bond(self._context.run, self._context.root, BOND)
        if bond is None:
            return [*missing, f"there is no {BOND}"]
        plan, me = self._context.identity.pair.crossover, self._context.identity.me
        if (bond.mode, bond.miimon_ms, bond.mtu) != (plan.mode, plan.miimon_ms, plan.mtu):
            missing.append(f"{BOND} runs {bond.mode}, miimon {bond.miimon_ms}, MTU {bond.mtu}")
        if me.crossover_address not in bond.addresses:
            missing.append(f"{BOND} has no address {me.crossover_address}")
        missing += [f"{name} is not in {BOND}" for name in sorted(set(ports) - bond.ports)]
        return missing

    def apply(self) -> None:
        """Write the keyfiles and have NetworkManager bring the bond and its ports up."""
        run = self._context.run
        files.write(self._context.root, self._files)
        if (self._context.root / "usr/sbin/restorecon").exists():
            run(["restorecon", "-R", str(CONNECTIONS)])
        run(["nmcli", "general", "reload", "conf"])
        run(["nmcli", "connection", "reload"])
        run(
            ["nmcli", "--wait", str(UP_TIMEOUT_S), "connection", "up", "id", BOND_CONNECTION],
            timeout_s=UP_TIMEOUT_S + 10,
        )

    def _ports(self) -> list[str]:
        """Names of the planned ports this machine has; those it lacks are told, by MAC."""
        planned = self._context.identity.me.crossover_ports
        found = {port.mac: port.name for port in facts.ports(self._context.run)}
        self._absent = [mac for mac in planned if mac not in found]
        if len(self._absent) == len(planned):
            raise Refused(
                f"none of the crossover ports {', '.join(planned)} is in this machine;"
                f" it has {', '.join(sorted(found)) or 'no port at all'}",
                "compare the profile's crossover.ports with: ip -br link",
            )
        return [found[mac] for mac in planned if mac in found]
