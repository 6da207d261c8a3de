"""How two plans of one pair differ, and what of it can change while the pair lives. Pure.

Every field of node.Pair stands in FIELDS; one that does not is refused by a KeyError, and a test
finds it before that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Optional

from firstboot.links import Link
from firstboot.node import Identity, Pair, canonical
from firstboot.render.networkmanager import uplink

LIVE, NOT_OURS, REINSTALL = "in life", "not ours", "reinstall"
UPLINK, FIREWALL, HOST, LOGINS, RESYNC, CLUSTER, MEMORY = (
    *("uplink", "firewall", "host", "logins", "resync", "cluster", "memory"),
)
ORDER = (UPLINK, FIREWALL, HOST, LOGINS, RESYNC, CLUSTER, MEMORY)  # what may cut us off comes first


@dataclass(frozen=True)
class Way:
    """How a field changes: LIVE or NOT_OURS by these steps, or by a REINSTALL alone; and why so."""

    how: str
    steps: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """One value that differs; None where there was, or will be, no such thing."""

    path: str
    before: Any
    after: Any
    way: Way

    def __str__(self) -> str:
        """As `ksbuild plan --against` marks it: + new, - gone, ~ changed."""
        sign = "+" if self.before is None else "-" if self.after is None else "~"
        values = [canonical(v) for v in (self.before, self.after) if sign == "~" or v is not None]
        note = f": {self.way.note}" if self.way.note else ""
        return f"{sign} {self.path}: {' -> '.join(values)} ({self.way.how}{note})"


def _live(*steps: str, note: str = "") -> Way:
    return Way(LIVE, steps, note)


def _no(note: str) -> Way:
    return Way(REINSTALL, note=note)


_NODE = _no("who the two nodes are is in keys, disks and cluster")
_CROSSOVER = _no("replication and cluster run over it")
_DISK = _no("the disks are laid out by it")
_FENCING = _no("it was proven with what there is")
_CLUSTER = _no("both nodes must run with the same at any moment")
_DRBD = _no("DRBD's device is made by it")
_GFS2 = _no("the file system was made with it")
_UPLINK, _MEMORY = _live(UPLINK), _live(MEMORY)
_WATCH = _live(note="it counts from the next look")

FIELDS: Mapping[str, Way] = {
    "id": _no("it is another pair"),
    "name": _no("cluster and file system have this name"),
    "platform": _no("it is another operating system"),
    "ssh_passwords": _live(HOST),
    "accounts.name": _live(LOGINS),
    "accounts.ssh_keys": _live(LOGINS),
    "time_servers": _live(FIREWALL, HOST),
    "uplink.mode": _UPLINK,
    "uplink.vlan": _UPLINK,
    "uplink.mtu": _UPLINK,
    "crossover.mode": _CROSSOVER,
    "crossover.miimon_ms": _CROSSOVER,
    "crossover.mtu": _CROSSOVER,
    "bridges.name": _UPLINK,
    "bridges.vlan": _UPLINK,
    "bridges.addresses": _UPLINK,
    "storage.os_gib": _DISK,
    "storage.grain_sectors": _DISK,
    "storage.raid_degraded": _live(note="it counts when a node is set up"),
    "drbd.port": _DRBD,
    "drbd.resync_mib_s": _live(RESYNC),
    "drbd.verify": _DRBD,
    "gfs2.journal_mib": _GFS2,
    "gfs2.mount": _GFS2,
    "cluster.token_ms": _CLUSTER,
    "cluster.timeout_factor": _CLUSTER,
    "cluster.plock_rate_limit": _CLUSTER,
    "cluster.plock_ownership": _CLUSTER,
    # The cluster's configuration was loaded once, and belongs to the people since.
    "cluster.fence_delay_s": Way(
        NOT_OURS, (CLUSTER,), "pcs stonith update DEVICE pcmk_delay_base=SECONDS"
    ),
    "ksm.enabled": _MEMORY,
    "ksm.monitor_interval_s": _MEMORY,
    "ksm.threshold_percent": _MEMORY,
    "ksm.sleep_ms": _MEMORY,
    "guests.dirty_mib": _live(HOST),
    "guests.migrations": Way(
        NOT_OURS, (CLUSTER,), "pcs property set migration-limit=NUMBER"
    ),
    "monitoring.full_warning_percent": _WATCH,
    "monitoring.full_critical_percent": _WATCH,
    "monitoring.disk_celsius": _WATCH,
    "monitoring.disk_worn_percent": _WATCH,
    "monitoring.disk_bad_sectors": _WATCH,
    "monitoring.clock_offset_ms": _WATCH,
    "monitoring.quiet_sensors": _WATCH,
    "alerts.mail_to": _live(HOST),
    "alerts.mail_from": _live(HOST),
    "alerts.relay": _live(HOST),
    "alerts.relay_port": _live(HOST),
    "alerts.webhook_file": _live(HOST),
    "nodes.name": _NODE,
    "nodes.serial": _NODE,
    "nodes.uplink.ports": _UPLINK,
    "nodes.uplink.address": _no("the cluster's second link has this address"),
    "nodes.uplink.gateway": _UPLINK,
    "nodes.uplink.dns": _UPLINK,
    "nodes.crossover_address": _CROSSOVER,
    "nodes.crossover_ports": _CROSSOVER,
    "nodes.fencing.level": _FENCING,
    "nodes.fencing.agent": _FENCING,
    "nodes.fencing.address": _FENCING,
    "nodes.fencing.port": _FENCING,
    "nodes.fencing.user": _FENCING,
    "nodes.fencing.password_file": _FENCING,
    "nodes.fencing.command": _FENCING,
    "nodes.fencing.set_address": _FENCING,
    "nodes.fencing.set_gateway": _FENCING,
}  # fmt: skip


def differences(before: Pair, after: Pair) -> list[Difference]:
    """What differs, in the order of the fields."""
    return list(_walk(before, after, "", ""))


def needs_reinstall(found: Sequence[Difference]) -> list[Difference]:
    """Those that no living node can take."""
    return [difference for difference in found if difference.way.how == REINSTALL]


def steps(found: Sequence[Difference]) -> tuple[str, ...]:
    """The steps that make the changes, in order."""
    wanted = {step for difference in found for step in difference.way.steps}
    return tuple(step for step in ORDER if step in wanted)


def guests_in_the_way(before: Identity, after: Identity, found: Sequence[Link]) -> list[str]:
    """Guests' ports on bridges that the change takes down, as `PORT on BRIDGE`."""
    bridges = uplink.touched(before, after)
    return [
        f"{link.name} on {link.above}"
        for link in found
        if link.above in bridges and link.kind not in ("", "bond", "vlan")
    ]


def _walk(before: Any, after: Any, field: str, path: str) -> Iterator[Difference]:
    if is_dataclass(before) and is_dataclass(after):
        for part in (each.name for each in fields(before)):
            yield from _walk(
                getattr(before, part), getattr(after, part), _join(field, part), _join(path, part)
            )
    elif isinstance(before, tuple) and any(is_dataclass(item) for item in (*before, *after)):
        yield from _walk_items(_by_name(before), _by_name(after), field, path)
    elif before != after:
        yield Difference(path, before, after, FIELDS[field])


def _walk_items(
    before: Mapping[str, Any], after: Mapping[str, Any], field: str, path: str
) -> Iterator[Difference]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None:
            yield from _walk(old, new, field, f"{path}.{name}")
        else:
            first = fields(before[name] if new is None else new)[0].name
            yield Difference(
                f"{path}.{name}", _plain(old), _plain(new), FIELDS[_join(field, first)]
            )
    if list(before) != list(after) and set(before) == set(after):
        first = fields(next(iter(before.values())))[0].name
        yield Difference(path, list(before), list(after), FIELDS[_join(field, first)])


def _by_name(items: Sequence[Any]) -> dict[str, Any]:
    """Items by their name, or by their number from 1 where they have none."""
    return {getattr(item, "name", str(number)): item for number, item in enumerate(items, start=1)}


def _plain(value: Optional[Any]) -> Any:
    return None if value is None else asdict(value)


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part
