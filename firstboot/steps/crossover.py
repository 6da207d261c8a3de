"""The bond over the crossover cables, from keyfiles that name ports by permanent MAC."""

from collections.abc import Sequence
from pathlib import Path

from firstboot import facts, files, profiles
from firstboot.configfile import ConfigFile
from firstboot.engine import Refused, Step
from firstboot.hellos import read
from firstboot.node import BOND
from firstboot.render.networkmanager.crossover import BOND_CONNECTION, render
from firstboot.render.networkmanager.keyfile import CONNECTIONS
from firstboot.steps import Context
from firstboot.steps.cabling import candidates

UP_TIMEOUT_S = 90


class CrossoverBond(Step):
    """Goes on with the ports whose cables are good; none at all is refused."""

    name = "crossover"
    settles_s = 30.0  # ports join the bond after it is up

    def __init__(self, context: Context) -> None:
        self._context = context
        self._absent: list[str] = []

    def remark(self) -> str:
        """The ports of the bond that this machine does not have."""
        return f"no such port: {', '.join(self._absent)}" if self._absent else ""

    def check(self) -> Sequence[str]:
        """Files that differ, profiles in the way, and how the running bond differs."""
        found = self._found()
        names = {port.name for port in found}
        missing = files.differing(self._context.root, self._files())
        missing += [f"{path.name} is left over" for path in self._left_over()]
        missing += [f"the profile {p.name!r} would take a port" for p in self._foreign(found)]
        bond = facts.bond(self._context.run, self._context.root, BOND)
        if bond is None:
            return [*missing, f"there is no {BOND}"]
        plan, me = self._context.identity.pair.crossover, self._context.identity.me
        if (bond.mode, bond.miimon_ms, bond.mtu) != (plan.mode, plan.miimon_ms, plan.mtu):
            missing.append(f"{BOND} runs {bond.mode}, miimon {bond.miimon_ms}, MTU {bond.mtu}")
        if me.crossover_address not in bond.addresses:
            missing.append(f"{BOND} has no address {me.crossover_address}")
        missing += [f"{name} is not in {BOND}" for name in sorted(names - bond.ports)]
        missing += [f"{name} is in {BOND}, unproven" for name in sorted(bond.ports - names)]
        return missing

    def apply(self) -> None:
        """Write the keyfiles and have NetworkManager bring the bond and its ports up."""
        run = self._context.run
        for profile in self._foreign(self._found()):
            run(["nmcli", "connection", "delete", "uuid", profile.uuid])
        for path in self._left_over():
            run(["nmcli", "connection", "delete", "id", path.stem])
        files.write(self._context.root, self._files())
        run(["nmcli", "general", "reload", "conf"])
        run(["nmcli", "connection", "reload"])
        run(
            ["nmcli", "--wait", str(UP_TIMEOUT_S), "connection", "up", "id", BOND_CONNECTION],
            timeout_s=UP_TIMEOUT_S + 10,
        )

    def _macs(self) -> tuple[str, ...]:
        """The ports whose cables are good; before that is known, the profile's."""
        cables = read(self._context.root)
        planned = self._context.identity.me.crossover_ports
        return planned if cables is None else tuple(own for own, _ in cables)

    def _files(self) -> tuple[ConfigFile, ...]:
        return render(self._context.identity, self._macs())

    def _left_over(self) -> list[Path]:
        """Profiles of ports that the bond had once."""
        folder = self._context.root / CONNECTIONS.relative_to("/")
        ours = {file.path.name for file in self._files()}
        return [
            path
            for path in sorted(folder.glob(f"{BOND_CONNECTION}-port*.nmconnection"))
            if path.name not in ours
        ]

    def _foreign(self, found: Sequence[facts.Port]) -> list[profiles.Profile]:
        names, macs = {port.name for port in found}, {port.mac for port in found}
        return profiles.foreign(self._context.run, names, macs)

    def _found(self) -> list[facts.Port]:
        """The bond's ports that this machine has; those it lacks are told, by MAC.

        None as long as the profile leaves it to the cables, and they are not known.
        """
        planned = self._macs()
        if not planned:
            candidates(self._context)  # refuses a machine that has none
            return []
        there = {port.mac: port for port in facts.ports(self._context.run)}
        self._absent = [mac for mac in planned if mac not in there]
        if len(self._absent) == len(planned):
            raise Refused(
                f"none of the crossover ports {', '.join(planned)} is in this machine;"
                f" it has {', '.join(sorted(there)) or 'no port at all'}",
                "compare the profile's crossover.ports with: ip -br link",
            )
        return [there[mac] for mac in planned if mac in there]
