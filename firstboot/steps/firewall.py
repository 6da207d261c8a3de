"""The firewall lets the two nodes talk over the crossover, and nobody else."""

from collections.abc import Sequence

from firstboot import files, unread
from firstboot.engine import Step
from firstboot.render import firewalld
from firstboot.render.networkmanager.crossover import ZONE
from firstboot.steps import Context

READER = "firewalld"
# firewall-cmd --reload asks the same, and gives up after D-Bus's 25 s on a slow processor.
RELOAD_S = 300
_DAEMON = ("org.fedoraproject.FirewallD1", "/org/fedoraproject/FirewallD1")
RELOAD = ("busctl", f"--timeout={RELOAD_S}", "call", *_DAEMON, _DAEMON[0], "reload")


class Firewall(Step):
    """The crossover zone, before the bond that lives in it comes up, and the uplink's one rule."""

    name = "firewall"
    needs = "firewall"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files = firewalld.render(context.identity)

    def check(self) -> Sequence[str]:
        """Files that differ, and what firewalld does not run with yet."""
        root, run = self._context.root, self._context.run
        missing = [*files.differing(root, self._files), *unread.marked(root, READER)]
        for kind, name in (("zones", ZONE), ("policies", firewalld.POLICY)):
            if name not in run(["firewall-cmd", f"--get-{kind}"]).stdout.split():
                missing.append(f"firewalld knows no {name} among its {kind}")
        return missing

    def apply(self) -> None:
        """Write the files and have firewalld read them; running connections stay."""
        unread.mark(self._context.root, READER)
        files.write(self._context.root, self._files)
        self._context.run(RELOAD, timeout_s=RELOAD_S + 30)
        unread.clear(self._context.root, READER)
