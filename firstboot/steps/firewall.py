"""The firewall lets the two nodes talk over the crossover, and nobody else."""

from collections.abc import Sequence

from firstboot import files
from firstboot.engine import Step
from firstboot.render import firewalld
from firstboot.render.networkmanager import ZONE
from firstboot.steps import Context


class Firewall(Step):
    """The crossover zone, before the bond that lives in it comes up."""

    name = "firewall"
    needs = "firewall"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files = firewalld.render(context.identity)

    def check(self) -> Sequence[str]:
        """Zone files that differ, and a zone firewalld does not run with yet."""
        missing = files.differing(self._context.root, self._files)
        zones = self._context.run(["firewall-cmd", "--get-zones"]).stdout.split()
        if ZONE not in zones:
            missing.append(f"firewalld does not know the zone {ZONE}")
        return missing

    def apply(self) -> None:
        """Write the zone and have firewalld read it; running connections stay."""
        files.write(self._context.root, self._files)
        self._context.run(["firewall-cmd", "--reload"])
