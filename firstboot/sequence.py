"""The steps in order: the agent's table of contents."""

from firstboot.engine import Step
from firstboot.steps import Context
from firstboot.steps.cabling import Cabling
from firstboot.steps.cluster import ClusterUp
from firstboot.steps.crossover import CrossoverBond
from firstboot.steps.fencedevices import FenceDevices
from firstboot.steps.fencing import Fencing
from firstboot.steps.filesystem import FileSystem
from firstboot.steps.firewall import Firewall
from firstboot.steps.guests import Guests
from firstboot.steps.host import Host
from firstboot.steps.meet import Rendezvous
from firstboot.steps.memory import Memory
from firstboot.steps.mounted import Mounted
from firstboot.steps.preflight import Preflight
from firstboot.steps.replication import Replication
from firstboot.steps.secrets import Secrets
from firstboot.steps.uplink import Uplink
from firstboot.steps.verification import Verification

SEQUENCE = (
    Preflight,
    Firewall,
    Uplink,
    Host,
    Cabling,
    CrossoverBond,
    Rendezvous,
    Secrets,
    Fencing,
    Replication,
    FileSystem,
    ClusterUp,
    FenceDevices,
    Mounted,
    Memory,
    Guests,
    Verification,
)


def steps(context: Context) -> tuple[Step, ...]:
    """The sequence for one node."""
    return tuple(step(context) for step in SEQUENCE)
