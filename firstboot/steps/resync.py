"""How fast DRBD fills a node that was away: for `ksnode apply` alone.

Replication, of the sequence, leaves a complete pair's DRBD to pacemaker. So does this: the file is
for when it is brought up again, and what runs is given the rates alone; `drbdadm adjust` would also
connect what stands alone, or bring up what pacemaker has not.
"""

from collections.abc import Sequence

from firstboot import drbd, files, unread
from firstboot.engine import Step
from firstboot.render import drbd as rendered
from firstboot.steps import Context

READER = "drbd"


class Resync(Step):
    """The resource's file, and DRBD told of its rates."""

    name = "resync"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files = rendered.render(context.identity)

    def check(self) -> Sequence[str]:
        """Files that differ, and whether DRBD has not been told yet."""
        root = self._context.root
        return [*files.differing(root, self._files), *unread.marked(root, READER)]

    def apply(self) -> None:
        """Write the file, and tell DRBD where it runs with its disk."""
        root, identity, run = self._context.root, self._context.identity, self._context.run
        unread.mark(root, READER)
        files.write(root, self._files)
        drbd9 = identity.pair.has("drbd9")
        seen = drbd.status(run, root, drbd9=drbd9)
        if seen is not None and seen.disk != drbd.DISKLESS:
            peer = identity.pair.nodes.index(identity.peer)
            drbd.set_rates(run, rendered.rates(identity.pair), peer, drbd9=drbd9)
        unread.clear(root, READER)
