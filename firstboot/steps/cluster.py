"""corosync and pacemaker up on both nodes, and the pair's configuration in them, once."""

import base64
import binascii
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

from firstboot import facts, files, gate, latches, mount, pacemaker, unread
from firstboot.engine import Refused, Step, StepFailed
from firstboot.pacemaker import Cluster
from firstboot.render import cib, corosync, dlm, systemd
from firstboot.steps import Context

AUTHKEY = Path("etc/corosync/authkey")
UNIT_READER = "systemd"
SHORTEST_KEY, LONGEST_KEY = 128, 4096  # bytes, corosync.conf(5)
ONLINE_S, LOADED_S = 300, 60  # both multiplied by the pair's timeout_factor
POLL_S = 3.0
LOOK = "next: crm_mon -1rf"


class ClusterUp(Step):
    """Starts the cluster of a pair that is not complete; of one that is, the gate alone does.

    Its configuration is loaded by the first node into a cluster without resources. Afterwards it
    belongs to the people: what differs is told as a remark, never put right.
    """

    name = "cluster"
    barrier = True

    def __init__(self, context: Context, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._sleep = sleep
        identity = context.identity
        self._place = identity.pair.gfs2.mount
        self._units = systemd.render(identity)
        self._files = (
            *corosync.render(identity),
            *dlm.render(identity),
            *cib.render(identity),
            *self._units,
        )
        self._remark: list[str] = []

    def remark(self) -> str:
        """What differs from the plan and is left as it is."""
        return "; ".join(self._remark)

    def check(self) -> Sequence[str]:
        """Files that differ, whether the nodes are online, whether the cluster is configured."""
        root = self._context.root
        missing = files.differing(root, self._files)
        if not _same_key(root):
            missing.append(f"/{AUTHKEY} is not the pair's")
        missing += unread.marked(root, UNIT_READER)
        missing += mount.unprepared(self._context)
        return missing + self._check_cluster(pacemaker.status(self._context.run))

    def apply(self) -> None:
        """Write the files, start both daemons, wait for the peer's, load the configuration."""
        self._write()
        if latches.is_set(self._context.root, latches.COMPLETE):
            self._context.run(["systemctl", "start", "--no-block", systemd.GATE])
            return
        pacemaker.start_units(self._context.run)
        wait(self._context, self.name, self._offline, ONLINE_S, self._sleep)
        if self._context.identity.first and pacemaker.is_blank(self._live()):
            pacemaker.load(self._context.run)
        wait(self._context, self.name, self._unconfigured, LOADED_S, self._sleep)

    def _write(self) -> None:
        context = self._context
        if files.differing(context.root, self._units):
            unread.mark(context.root, UNIT_READER)
        files.write(context.root, self._files)
        if not _same_key(context.root):
            files.make_folder((context.root / AUTHKEY).parent)
            files.replace(context.root / AUTHKEY, _key(context.root), 0o400)
        if unread.marked(context.root, UNIT_READER):
            context.run(["systemctl", "daemon-reload"])
            unread.clear(context.root, UNIT_READER)
        mount.prepare(context)

    def _check_cluster(self, state: Optional[Cluster]) -> list[str]:
        complete = latches.is_set(self._context.root, latches.COMPLETE)
        self._remark = []
        if state is None:
            return [
                gate.saying(self._context.root, facts.boot_id(self._context.root))
                if complete
                else "the cluster is not started"
            ]
        offline = self._absent(state)
        me = f"{self._context.identity.node} is not online"
        if not complete or me in offline:
            return [*offline, LOOK] if offline else self._check_configuration()
        if (peer := self._context.identity.peer.name) in state.unclean:
            return [
                f"{peer} is lost and not fenced: until it is, {self._place} waits",
                f"next: if you have seen that {peer} is off: stonith_admin --confirm {peer}",
            ]
        self._remark = offline
        return self._check_configuration()

    def _check_configuration(self) -> list[str]:
        live = self._live()
        if pacemaker.is_blank(live):
            return ["the cluster has no configuration"]
        found = pacemaker.drift(cib.text(self._context.identity.pair), live)
        unmade = [text for text in found if text.endswith(pacemaker.MISSING)]
        if unmade and not latches.is_set(self._context.root, latches.COMPLETE):
            raise Refused(
                f"the cluster holds resources, and not the pair's: {'; '.join(unmade[:5])}",
                "cibadmin --query; if nothing in it is needed: ksnode reset on both nodes",
            )
        self._remark += found
        return []

    def _absent(self, state: Cluster) -> list[str]:
        names = [node.name for node in self._context.identity.pair.nodes]
        found = [f"{name} is not online" for name in names if name not in state.online]
        return found if found or state.quorate else ["the cluster has no quorum"]

    def _offline(self) -> list[str]:
        if broken := pacemaker.broken_units(self._context.run):
            raise StepFailed(self.name, broken)
        state = pacemaker.status(self._context.run)
        return ["pacemaker does not answer yet"] if state is None else self._absent(state)

    def _unconfigured(self) -> list[str]:
        first = self._context.identity.pair.nodes[0].name
        blank = pacemaker.is_blank(self._live())
        return [f"{first} has not loaded the configuration"] if blank else []

    def _live(self) -> str:
        return pacemaker.configuration(self._context.run)


def wait(
    context: Context,
    step: str,
    look: Callable[[], Sequence[str]],
    most_s: float,
    sleep: Callable[[float], None],
) -> None:
    """Look until nothing is missing, and say what is.

    Raises StepFailed when that took longer than `most_s` seconds times the pair's timeout_factor.
    """
    left_s = most_s * context.identity.pair.cluster.timeout_factor
    while missing := look():
        if left_s <= 0:
            raise StepFailed(step, [*missing, LOOK])
        context.report(step, "waiting", "; ".join(missing))
        sleep(POLL_S)
        left_s -= POLL_S


def _key(root: Path) -> bytes:
    """corosync's key from the secret's base64; the one place where it is decoded."""
    text = (root / files.SECRETS / "authkey").read_text(encoding="ascii")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise Refused(
            f"the secret authkey is not base64 of {SHORTEST_KEY} to {LONGEST_KEY} bytes",
            "ksnode reset on both nodes, which makes the pair's secrets anew",
        )
    return key


def _same_key(root: Path) -> bool:
    target = root / AUTHKEY
    try:
        return target.stat().st_mode & 0o7777 == 0o400 and target.read_bytes() == _key(root)
    except FileNotFoundError:
        return False
