"""DRBD's resource as the kernel runs it, in either dialect, and the few commands that change it.

What makes data or metadata stands here once each: create_metadata() and begin_data().
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from firstboot.commands import CommandError, Run
from firstboot.node import RESOURCE
from firstboot.seed import SeedPermit

METADATA_TIMEOUT_S = 600.0  # the bitmap of 10 TiB is 320 MiB to write
ASKING_S = 1200.0  # DRBD waits for its fence-peer handler, which has a timeout of its own
PRIMARY, SECONDARY = "Primary", "Secondary"
UP_TO_DATE, CONSISTENT, OUTDATED, INCONSISTENT, DISKLESS = (
    *("UpToDate", "Consistent", "Outdated", "Inconsistent", "Diskless"),
)
# drbd-8.4's one state of a connection counts as connected from here on (enum drbd_conns).
OLD_UNCONNECTED = {
    *("StandAlone", "Disconnecting", "Unconnected", "Timeout", "BrokenPipe", "NetworkFailure"),
    *("ProtocolError", "TearDown", "WFConnection", "WFReportParams"),
}


@dataclass(frozen=True)
class Status:
    """The resource: roles and disk states in DRBD's words, this node's and the peer's.

    `replication` is DRBD 9's replication state, or 8.4's connection state. `percent` and `eta_s`
    (seconds) are those of a running sync, None while there is none. `out_of_sync_kib` is what this
    node's bitmap holds against the peer.
    """

    connected: bool
    replication: str
    role: str
    peer_role: str
    disk: str
    peer_disk: str
    percent: Optional[float] = None
    eta_s: Optional[int] = None
    out_of_sync_kib: int = 0

    @property
    def in_sync(self) -> bool:
        """Whether both nodes have the same data, all of it."""
        return self.connected and self.disk == self.peer_disk == UP_TO_DATE

    @property
    def untouched(self) -> bool:
        """Whether the two met, and neither has data or is in use."""
        return (
            self.connected
            and self.role == self.peer_role == SECONDARY
            and self.disk == self.peer_disk == INCONSISTENT
            and self.replication in ("Connected", "Established")
        )

    @property
    def stands_alone(self) -> bool:
        """Whether DRBD gave the peer up: unrelated data, split brain, or another secret."""
        return self.replication == "StandAlone"

    def __str__(self) -> str:
        """For people, in DRBD's words."""
        text = f"{self.replication}, {self.role}/{self.peer_role}, {self.disk}/{self.peer_disk}"
        if self.percent is not None:
            text += f", {self.percent:.1f}% done"
        if self.eta_s is not None:
            text += f", {_span(self.eta_s)} to go"
        return text


def status(run: Run, root: Path, *, drbd9: bool) -> Optional[Status]:
    """The resource as it runs; None when the kernel does not have it. Reads only.

    Raises CommandError or OSError when the answer makes no sense.
    """
    try:
        text = (root / "proc/drbd").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None  # the module is not even loaded
    if not drbd9:
        return parse_proc(text)
    answer = run(["drbdsetup", "status", "--json"])
    try:
        return parse_json(answer.stdout)
    except (ValueError, KeyError, TypeError):
        raise CommandError(answer) from None


def parse_proc(text: str) -> Optional[Status]:
    """/proc/drbd of 8.4 -> the resource of minor 0. Raises OSError on other lines for it."""
    found = re.search(r"^ *0: cs:(\S+)(?P<rest>.*(?:\n(?! *\d+: ).*)*)", text, re.MULTILINE)
    if not found or found[1] == "Unconfigured":
        return None
    states = re.match(r" ro:(\w+)/(\w+) ds:(\w+)/(\w+) ", found["rest"])
    if not states:
        raise OSError(f"/proc/drbd makes no sense: {found[0][:100]!r}")
    percent = re.search(r"sync'ed: *([0-9.]+)%", found["rest"])
    finish = re.search(r"finish: (\d+):(\d\d):(\d\d)", found["rest"])
    hours, minutes, seconds = (int(n) for n in finish.groups()) if finish else (0, 0, 0)
    behind = re.search(r" oos:(\d+)", found["rest"])
    role, peer_role, disk, peer_disk = states.groups()
    return Status(
        connected=found[1] not in OLD_UNCONNECTED,
        replication=found[1],
        role=role,
        peer_role=peer_role,
        disk=disk,
        peer_disk=peer_disk,
        percent=float(percent[1]) if percent else None,
        eta_s=hours * 3600 + minutes * 60 + seconds if finish else None,
        out_of_sync_kib=int(behind[1]) if behind else 0,
    )


def parse_json(text: str) -> Optional[Status]:
    """`drbdsetup status --json` of DRBD 9 -> our resource. Raises ValueError, KeyError.

    Keys that came or went between versions are taken where they are.
    """
    resources = [r for r in json.loads(text or "[]") if r["name"] == RESOURCE]
    if not resources:
        return None
    (resource,) = resources
    if not resource["devices"] or not resource["connections"]:
        return None  # half brought up: what is missing is still to be done
    device, connection = resource["devices"][0], resource["connections"][0]
    peer: dict[str, Any] = next(iter(connection["peer_devices"]), {})
    connected = connection["connection-state"] == "Connected"
    syncing = "percent-resync-done" in peer
    return Status(
        connected=connected,
        replication=peer["replication-state"] if connected else connection["connection-state"],
        role=resource["role"],
        peer_role=connection["peer-role"],
        disk=device["disk-state"],
        peer_disk=peer.get("peer-disk-state", "DUnknown"),
        percent=float(peer["percent-resync-done"]) if syncing else None,
        eta_s=int(peer["estimated-seconds-to-finish"])
        if syncing and "estimated-seconds-to-finish" in peer
        else None,
        out_of_sync_kib=int(peer.get("out-of-sync", 0)),
    )


def authentication(run: Run, *, drbd9: bool) -> str:
    """The algorithm by which the peer has to prove that it knows the secret, "" for none.

    The answer has the secret in it: nothing else of it is ever told, not even when it fails.
    """
    form = ["--json"] if drbd9 else []
    shown = run(["drbdsetup", "show", RESOURCE, *form], ok=tuple(range(256))).stdout
    found = re.search(r'"?cram-hmac-alg"?[:\s]+"?([a-z0-9-]+)"?', shown)
    return found[1] if found else ""


def create_metadata(run: Run) -> None:
    """Make metadata on this node's partition: without --force, so on nothing but a blank one.

    Standard input is at its end: whatever drbdmeta would have to ask about, it leaves alone.
    """
    run(["drbdadm", "create-md", RESOURCE], timeout_s=METADATA_TIMEOUT_S)


def bring_up(run: Run) -> None:
    """Attach and connect what is not; what runs as configured is left alone."""
    _connecting(run, "adjust")


def connect(run: Run, *, discard_my_data: bool = False) -> None:
    """Look for the peer again, giving up what was written here apart from it, or not."""
    _connecting(run, "connect", *(["--discard-my-data"] if discard_my_data else []))


def set_rates(run: Run, options: Sequence[str], peer: int, *, drbd9: bool) -> None:
    """Change a resync's rates while the resource runs; `peer` is the other node's node-id.

    They are the peer device's since DRBD 9 and the disk's before (drbdsetup(8) of either).
    """
    where = ["peer-device-options", RESOURCE, str(peer), "0"] if drbd9 else ["disk-options", "0"]
    run(["drbdsetup", *where, *options])


def disconnect(run: Run) -> None:
    """Stand alone. Doing so twice is doing so once."""
    run(["drbdadm", "disconnect", RESOURCE])


def dump_metadata(run: Run, partition: Path, *, drbd9: bool) -> str:
    """The partition's metadata as text: generations, bitmap, activity log (drbdmeta(8)).

    The kernel has it in use, so it is read with --force, which writes nothing.
    """
    version = "v09" if drbd9 else "v08"
    argv = ["drbdmeta", "--force", "0", version, str(partition), "internal", "dump-md"]
    return run(argv, timeout_s=METADATA_TIMEOUT_S).stdout


def generations(get_gi: str) -> "tuple[int, ...]":
    """`get-gi` of drbdmeta, drbdadm or drbdsetup -> the UUIDs before the flags. ValueError.

    Current, bitmap and two of history, then flags, colon-separated in both dialects
    (dt_print_uuids, dt_print_v9_uuids). The lowest bit tells a Primary and is no part of the UUID.
    """
    found = re.search(r"^((?:[0-9A-Fa-f]{16}:){4})\d", get_gi, re.MULTILINE)
    if not found:
        raise ValueError(f"no generation identifiers: {get_gi[:200]!r}")
    return tuple(int(word, 16) & ~1 for word in found[1].rstrip(":").split(":"))


def get_gi(run: Run) -> str:
    """The generation identifiers of the resource that runs, as drbdadm prints them."""
    return run(["drbdadm", "get-gi", RESOURCE]).stdout


def _connecting(run: Run, *words: str) -> None:
    """drbdadm quotes the command that failed, with the shared secret in it: that is taken out of
    the CommandError raised here.
    """
    try:
        run(["drbdadm", *words, RESOURCE])
    except CommandError as error:
        text = re.sub(r"(shared-secret[= ])\S+", r"\1...", error.result.stderr)
        raise CommandError(replace(error.result, stderr=text)) from None


def begin_data(run: Run, permit: SeedPermit, *, drbd9: bool) -> None:
    """Call this node's partition the data and the peer's a copy, or one that becomes a copy.

    Only where untouched, both just created. 8.4 has no words for a first sync without a Primary.
    """
    if not isinstance(permit, SeedPermit):
        raise TypeError("data begins with a permit only")
    if permit.skip_sync or drbd9:
        how = "--clear-bitmap" if permit.skip_sync else "--force-resync"
        run(["drbdadm", "new-current-uuid", how, f"{RESOURCE}/0"])
        return
    run(["drbdadm", "primary", "--force", RESOURCE])
    demote(run)


def promote(run: Run) -> None:
    """Make this node Primary; DRBD asks its fence-peer handler where the peer is not there."""
    run(["drbdadm", "primary", RESOURCE], timeout_s=ASKING_S)


def demote(run: Run) -> None:
    """Make this node Secondary. Raises CommandError while something holds the device open."""
    run(["drbdadm", "secondary", RESOURCE])


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"
