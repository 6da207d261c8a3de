"""The one place that runs mkfs.gfs2, on loop devices; and when the step gets there."""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from firstboot import data, latches
from firstboot.commands import run
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting, State
from firstboot.seed import Content, SeedPermit, Side, decide, side_to_json
from firstboot.steps import Context
from firstboot.steps.filesystem import FileSystem, group_mib, make_file_system
from firstboot.steps.replication import IN_USE, TOPIC
from tests.firstboot import devices
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.devices import MIB, gfs2, raw, tool
from tests.firstboot.test_drbd import RECORDED

NEW = Side(Content.OURS, "new", uuids=("0" * 14 + "a0",), started="blank")


def permit() -> SeedPermit:
    given = decide(True, NEW, NEW).permit
    assert given
    return given


class Peer(Meeting):
    """Answers with these sides, one after the other, the last for ever."""

    def __init__(self, identity: Identity, root: Path, sides: list[Side]) -> None:
        super().__init__(identity, root, "boot")
        self.sides = sides
        self.come_through: frozenset[str] = frozenset()

    def ask(self) -> State:
        """The next answer, as a new object each time, as from the wire."""
        side = self.sides.pop(0) if len(self.sides) > 1 else self.sides[0]
        told: dict[str, Any] = json.loads(json.dumps({TOPIC: side_to_json(side)}))
        self._peer = State("b", (), self.come_through, told)
        return self._peer


def context_of(
    root: Path, *, peers: Optional[list[Side]] = None, node: str = "justinian"
) -> tuple[Context, ScriptedRun, Peer]:
    """On the lab's platform, whose DRBD is read from a file."""
    identity, script = an_identity(node, "debian12-lab"), ScriptedRun()
    meeting = Peer(identity, root, peers or [NEW])
    return Context(identity, root, script, Told(), meeting), script, meeting


def lay_proc(root: Path, name: str) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/drbd").write_text((RECORDED / f"proc-drbd-8.4.11-{name}").read_text())


@pytest.mark.parametrize(
    ("prepare", "made"),
    [
        (lambda _: None, True),
        (raw(5 * MIB, b"half of mkfs.gfs2"), True),  # cut off before the superblock
        (gfs2("00014:FS0"), True),  # cut off before the latch
        (gfs2("00015:FS0"), False),
        (tool("mkfs.ext4", "-q"), False),
        (tool("mkswap"), False),
        (raw(0, b"x"), False),
        (raw(65535, b"x"), False),
    ],
)
def test_mkfs_runs_on_nothing_but_its_own(
    tmp_path: Path, prepare: devices.Prepare, made: bool
) -> None:
    """Every refused device is as it was, to the last byte."""
    whole = an_identity()
    pair = replace(whole.pair, gfs2=replace(whole.pair.gfs2, journal_mib=8))
    identity = replace(whole, pair=pair)
    context = Context(identity, tmp_path, run, Told(), Meeting(identity, tmp_path, "boot"))
    with devices.partition(tmp_path, identity) as loop:
        prepare(loop)
        before = devices.digest(loop)
        if made:
            make_file_system(context, permit(), loop)
            assert data.signatures(context, str(loop)) == (data.Signature("gfs2", "00014:FS0"),)
        else:
            with pytest.raises(Refused, match="is not empty"):
                make_file_system(context, permit(), loop)
            assert devices.digest(loop) == before


@pytest.mark.parametrize(
    ("gib", "mib"), [(10, 256), (1024, 256), (2047, 256), (2048, 512), (8192, 2048), (65536, 2048)]
)
def test_a_large_file_system_has_larger_groups(gib: int, mib: int) -> None:
    assert group_mib(gib << 30) == mib


def test_mkfs_makes_so_large_groups(tmp_path: Path) -> None:
    """2 TiB, sparse: as many of them as that gives, and a sixteenth more at most."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, 2 << 40)
    options = ["-O", "-K", "-p", "lock_dlm", "-t", "lab:FS0", "-j", "2", "-J", "8"]
    argv = ["mkfs.gfs2", *options, "-r", str(group_mib(2 << 40)), str(image)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Resource groups:\s+(\d+)$", said, re.MULTILINE)
    assert found
    assert 4096 <= int(found[1]) <= 4352


def test_mkfs_takes_a_permit_only(tmp_path: Path) -> None:
    context, _, _ = context_of(tmp_path)
    with pytest.raises(TypeError):
        make_file_system(context, "permit", tmp_path / "device")  # type: ignore[arg-type]


GET_GI = "00000000000000A0:" + 3 * ("0" * 16 + ":") + "1:1:0:1:0:0:0\n"


def test_the_first_node_stops_without_an_up_to_date_peer(tmp_path: Path) -> None:
    context, script, _ = context_of(tmp_path)
    data.begin(context, "blank")
    lay_proc(tmp_path, "source")
    for _ in range(2):
        script.expect("drbdadm get-gi vmdata", GET_GI)
    step = FileSystem(context, sleep=lambda _: None)
    assert step.check() == ["there is no file system 00014:FS0 yet"]
    with pytest.raises(Refused, match="not up to date"):
        step.apply()
    script.assert_finished()
    assert step.check()


def test_a_peer_with_data_makes_the_first_node_take_part(tmp_path: Path) -> None:
    context, script, _ = context_of(tmp_path, peers=[IN_USE])
    data.begin(context, "blank")
    lay_proc(tmp_path, "in-sync")
    for _ in range(2):
        script.expect("drbdadm get-gi vmdata", GET_GI)
    step = FileSystem(context, sleep=lambda _: None)
    step.apply()
    script.assert_finished()
    assert not step.check()


def test_the_device_is_demoted_whatever_happened(tmp_path: Path) -> None:
    """mkfs fails; udev holds the device open for a while; there is no latch."""
    context, script, _ = context_of(tmp_path)
    data.begin(context, "blank")
    lay_proc(tmp_path, "in-sync")
    for _ in range(2):
        script.expect("drbdadm get-gi vmdata", GET_GI)
    script.expect("drbdadm primary vmdata")
    device = tmp_path / "dev/drbd0"
    script.expect(f"wipefs -n -J {device}", '{"signatures": [{"type": "xfs", "label": null}]}')
    script.expect("drbdadm secondary vmdata", returncode=11)
    script.expect("drbdadm secondary vmdata", returncode=11).expect("drbdadm secondary vmdata")
    with pytest.raises((Refused, FileNotFoundError)):  # there is no such device
        FileSystem(context, sleep=lambda _: None).apply()
    script.assert_finished()
    assert not latches.is_set(tmp_path, latches.DATA_EXISTS)


def test_the_second_node_learns_it(tmp_path: Path) -> None:
    context, script, meeting = context_of(tmp_path, peers=[NEW, NEW, IN_USE], node="julius")
    data.begin(context, "blank")
    lay_proc(tmp_path, "in-sync")
    script.expect("drbdadm get-gi vmdata", GET_GI)
    step = FileSystem(context, sleep=lambda _: None)
    step.apply()
    script.assert_finished()
    assert not step.check()
    assert meeting._told[TOPIC]["data_exists"]
