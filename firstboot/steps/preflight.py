"""Is this the machine the plan means, and is its disk as the installer was told to make it?"""

from collections.abc import Sequence

from firstboot import facts
from firstboot.engine import Refused, Step
from firstboot.node import SECTOR, partition_uuid
from firstboot.steps import Context

REINSTALL = "install this server from the medium made for it, then boot it again"


class Preflight(Step):
    """Refuses on another machine's identity or disk; there is nothing it could mend."""

    name = "preflight"

    def __init__(self, context: Context) -> None:
        self._context = context

    def check(self) -> Sequence[str]:
        """Nothing is ever missing: it is right or refused."""
        self._check_identity()
        self._check_data_partition()
        return ()

    def apply(self) -> None:
        """Unreachable by check(); kept so that the step says so instead of doing nothing."""
        raise AssertionError("preflight mends nothing")

    def _check_identity(self) -> None:
        identity, root = self._context.identity, self._context.root
        if (found := facts.host_name(root)) != identity.node:
            raise Refused(
                f"this machine is called {found!r}, the plan calls it {identity.node!r}",
                f"hostnamectl set-hostname {identity.node}, then: systemctl restart ksnode",
            )
        wanted = identity.me.serial
        if wanted is None or not identity.pair.has("dmi"):
            return
        if (found := facts.serial(root)) != wanted:
            raise Refused(
                f"this machine's serial number is {found!r}, {identity.node}'s is {wanted!r}",
                REINSTALL,
            )

    def _check_data_partition(self) -> None:
        identity = self._context.identity
        storage = identity.pair.storage
        uuid = partition_uuid(identity.pair.id, identity.node, "data")
        start = facts.partition_start(self._context.root, uuid)
        if start is None:
            raise Refused(f"no partition carries this node's data PARTUUID {uuid}", REINSTALL)
        os_end = storage.os_gib * 1024**3 // SECTOR
        if start < os_end or start % storage.grain_sectors:
            raise Refused(
                f"the data partition starts at sector {start}; planned is a multiple of"
                f" {storage.grain_sectors} at or behind {os_end}",
                REINSTALL,
            )
