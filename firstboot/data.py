"""What is on this node's data partition? Only reading; what can't be read is unknown.

wipefs names every signature, also GFS2 under DRBD's metadata, where blkid shows only one of them.
"""

import contextlib
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from firstboot import drbd, latches
from firstboot.commands import CommandError
from firstboot.journal import STATE
from firstboot.node import FILE_SYSTEM, RESOURCE, Identity, Pair, partition_uuid
from firstboot.seed import Content, Side
from firstboot.steps import Context

WIPED_NAME = "ks-wiped"  # the name %pre gives the partition when it erased by consent
END_BYTES, SAMPLE_BYTES, SAMPLES = 1 << 20, 1 << 16, 32  # as %pre looks at a disk
JUST_CREATED = 4  # UUID_JUST_CREATED, drbd.h: metadata that never had data
# Internal metadata lies behind the data: 32 KiB of bitmap per GiB and peer, and less than 1 MiB.
METADATA_SHARE, METADATA_REST = 1 << 14, 1 << 20
MAKES_NO_SENSE = "wipefs or drbdmeta answered what makes no sense"


@dataclass(frozen=True)
class Signature:
    """A row of wipefs: the type it names, and the label where it has one."""

    kind: str
    label: Optional[str]


@dataclass(frozen=True)
class Generation:
    """DRBD's generation identifiers: `uuids` are 16 hex digits, none while just created."""

    just_created: bool
    uuids: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What a look at a partition found.

    `zero`: both ends are, and random samples unless it is `wiped`; of the data alone where metadata
    is, or was begun by this installation.
    `generation` is None where DRBD's signature is not that of this platform's metadata.
    """

    device: str
    signatures: tuple[Signature, ...]
    generation: Optional[Generation]
    wiped: bool
    zero: bool


def lock_table(pair: Pair) -> str:
    """CLUSTER:FS0: by this label of its GFS2 a partition is this pair's."""
    return f"{pair.name}:{FILE_SYSTEM}"


def device(root: Path, identity: Identity) -> Path:
    """The data partition's link, by PARTUUID."""
    uuid = partition_uuid(identity.pair.id, identity.node, "data")
    return root / "dev/disk/by-partuuid" / uuid


def is_marked(root: Path, identity: Identity) -> bool:
    """Whether the data partition is named as one that was erased by consent."""
    return _name(root, device(root, identity)) == WIPED_NAME


def parse_signatures(wipefs_json: str) -> tuple[Signature, ...]:
    """`wipefs -n -J` -> rows; it prints nothing at all where it finds nothing."""
    rows = json.loads(wipefs_json)["signatures"] if wipefs_json.strip() else []
    return tuple(Signature(row["type"], row["label"]) for row in rows)


def parse_generation(get_gi: str) -> Generation:
    """`get-gi` of drbdmeta or drbdsetup -> the generations. Raises ValueError."""
    values = drbd.generations(get_gi)
    if values[0] == JUST_CREATED:
        return Generation(True, ())
    return Generation(False, tuple(f"{n:016x}" for n in values if n not in (0, JUST_CREATED)))


def classify(found: Found, table: str, started: Optional[str], data_exists: bool) -> Side:
    """What was found, as a side of the decision table. `table` is this pair's lock table."""

    def side(content: Content, seen: str) -> Side:
        return Side(content, f"{found.device}: {seen}", started=started, data_exists=data_exists)

    ours = Signature("gfs2", table)
    foreign = [s for s in found.signatures if s.kind != "drbd" and s != ours]
    if foreign:
        named = ", ".join(f"{s.kind} {s.label or ''}".strip() for s in foreign)
        return side(Content.FOREIGN, named)
    if found.generation is not None:
        return _replicated(found, found.generation, ours in found.signatures, started, data_exists)
    if ours in found.signatures:
        return side(Content.UNKNOWN, f"this pair's file system {table} without DRBD's metadata")
    if found.signatures:
        return side(Content.FOREIGN, "metadata of another version of DRBD")
    if not found.zero:
        return side(Content.UNKNOWN, "nothing signed, and yet not zero")
    return side(Content.WIPED if found.wiped else Content.BLANK, "blank")


def _replicated(
    found: Found,
    generation: Generation,
    file_system: bool,
    started: Optional[str],
    data_exists: bool,
) -> Side:
    """Metadata carries no name: the latch, the file system or zeros under it answer for it."""
    what = "just created" if generation.just_created else f"of {generation.uuids[0]}"
    seen = f"{found.device}: DRBD metadata {what}{', GFS2' if file_system else ''}"
    content = Content.OURS
    if generation.just_created and started is None and not found.zero and not file_system:
        content = Content.UNKNOWN
        seen += ", made by nobody of this pair over bytes that are not zero"
    return Side(
        content, seen, generation.just_created, generation.uuids, file_system, started, data_exists
    )


def look(context: Context, *, attached: bool) -> Side:
    """This node's side of the table. `attached`: DRBD's kernel part has the partition.

    Then it is this agent's doing (latch seed-started or data-exists) or UNKNOWN.
    """
    root, identity = context.root, context.identity
    started, data_exists = begun_from(root), latches.is_set(root, latches.DATA_EXISTS)
    partition = device(root, identity)
    try:
        if attached:
            return _attached(context, started, data_exists)
        found = _find(context, partition, begun=started in ("blank", "wiped") or data_exists)
    except (OSError, CommandError) as error:
        seen = f"{partition} cannot be read: {error}"
    except (ValueError, KeyError, TypeError):
        seen = f"{partition}: {MAKES_NO_SENSE}"
    else:
        return classify(found, lock_table(identity.pair), started, data_exists)
    return Side(Content.UNKNOWN, seen, started=started, data_exists=data_exists)


def begin(context: Context, content: str) -> None:
    """Latch that this installation uses the partition from now on, and what it was."""
    uuid = partition_uuid(context.identity.pair.id, context.identity.node, "data")
    text = json.dumps({"from": content, "partition": uuid}, sort_keys=True) + "\n"
    latches.set_once(context.root, latches.SEED_STARTED, text)


def begun_from(root: Path) -> Optional[str]:
    """What the partition was when this installation began to use it; None before."""
    try:
        text = (root / STATE / latches.SEED_STARTED).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)["from"])
    return "unknown"  # the latch counts, whatever became of its text


def signatures(context: Context, path: str) -> tuple[Signature, ...]:
    """What wipefs finds on a device. Raises CommandError, ValueError."""
    return parse_signatures(context.run(["wipefs", "-n", "-J", path]).stdout)


def _attached(context: Context, started: Optional[str], data_exists: bool) -> Side:
    where = f"DRBD's {RESOURCE}"
    if started is None and not data_exists:
        seen = f"{where} was brought up by somebody else"
        return Side(Content.UNKNOWN, seen)
    generation = parse_generation(drbd.get_gi(context.run))
    found = Found(where, (), generation, wiped=False, zero=True)
    return _replicated(found, generation, False, started, data_exists)


def _find(context: Context, partition: Path, *, begun: bool) -> Found:
    """`begun`: create-md may have been cut off here: it writes its superblock after all the rest
    (drbdmeta of drbd-utils 9.22), so what lies where metadata goes is not looked at.
    """
    rows = signatures(context, str(partition))
    replicated = any(row.kind == "drbd" for row in rows)
    generation = _generation(context, partition) if replicated else None
    wiped = _name(context.root, partition) == WIPED_NAME
    with _opened(partition) as (handle, size):
        behind = size // METADATA_SHARE + METADATA_REST if replicated or begun else 0
        end = size - behind
        zero = _is_zero(handle, end, samples=0 if wiped else SAMPLES)
    return Found(str(partition), rows, generation, wiped, zero)


def _generation(context: Context, partition: Path) -> Optional[Generation]:
    version, peer = ("v08", [])
    if context.identity.pair.has("drbd9"):
        version, peer = "v09", [f"--node-id={1 if context.identity.first else 0}"]
    argv = ["drbdmeta", "0", version, str(partition), "internal", *peer, "get-gi"]
    done = context.run(argv, ok=(0, 1))  # 1: no metadata of this version
    return parse_generation(done.stdout) if done.returncode == 0 else None


def _name(root: Path, partition: Path) -> str:
    """The partition's GPT name."""
    kernels = Path(os.path.realpath(partition)).name
    text = (root / "sys/class/block" / kernels / "uevent").read_text(encoding="utf-8")
    return dict(line.partition("=")[::2] for line in text.splitlines()).get("PARTNAME", "")


@contextlib.contextmanager
def _opened(partition: Path) -> Iterator[tuple[int, int]]:
    """The device open for reading, and its bytes. Raises OSError, also when it is in use."""
    handle = os.open(partition, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        yield handle, os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)


def _is_zero(handle: int, end: int, samples: int) -> bool:
    """Whether both ends below `end`, and random places between, hold nothing but zeros."""
    last = max(0, end - SAMPLE_BYTES)
    anywhere = [random.randrange(last + 1) for _ in range(samples)]  # noqa: S311 - no secret
    places = [(0, END_BYTES), (max(0, end - END_BYTES), END_BYTES)]
    places += [(place, SAMPLE_BYTES) for place in anywhere]
    return all(_zeros(handle, start, min(length, end - start)) for start, length in places)


def _zeros(handle: int, start: int, length: int) -> bool:
    read = os.pread(handle, length, start)
    if len(read) != length:
        raise OSError(f"{len(read)} bytes of {length} at {start}")
    return not read.strip(b"\0")
