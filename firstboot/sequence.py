"""The steps in order: the agent's table of contents."""

from firstboot.engine import Step
from firstboot.steps import Context
from firstboot.steps.crossover import CrossoverBond
from firstboot.steps.firewall import Firewall
from firstboot.steps.host import Host
from firstboot.steps.meet import Rendezvous
from firstboot.steps.preflight import Preflight
from firstboot.steps.uplink import Uplink

SEQUENCE = (Preflight, Firewall, Uplink, Host, CrossoverBond, Rendezvous)


def steps(context: Context) -> tuple[Step, ...]:
    """The sequence for one node."""
    return tuple(step(context) for step in SEQUENCE)
