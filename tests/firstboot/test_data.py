"""Every content of the fault catalogue, made by the real tools, looked at by the real probes."""

import os
from pathlib import Path

import pytest

from firstboot import data, latches
from firstboot.commands import run
from firstboot.data import Generation, Signature
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting
from firstboot.seed import Content, Side
from firstboot.steps import Context
from tests.firstboot import devices
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.devices import MIB, SIZE, both, gfs2, metadata, raw, tool

OURS, OTHERS = "00014:FS0", "00015:FS0"
OLD = ("EC9F2A7C1B4D5E60", "0" * 16, "A1" * 8, "0" * 16)
V09, V08 = metadata("v09"), metadata("v08")
V09_USED, V08_USED = metadata("v09", *OLD), metadata("v08", *OLD)


def context_of(root: Path, identity: Identity) -> Context:
    return Context(identity, root, run, Told(), Meeting(identity, root, "boot"))


def look(
    root: Path,
    prepare: devices.Prepare,
    *,
    name: str = "ks-data",
    lab: bool = False,
    size: int = SIZE,
) -> Side:
    """What the probe says of a partition so prepared; the look changes not one byte."""
    identity = an_identity(platform="debian12-lab" if lab else "el9")
    with devices.partition(root, identity, name=name, size=size) as loop:
        prepare(loop)
        before = devices.digest(loop)
        side = data.look(context_of(root, identity), attached=False)
        assert devices.digest(loop) == before
    return side


@pytest.mark.parametrize(
    ("prepare", "content", "seen"),
    [
        (lambda _: None, Content.BLANK, "blank"),
        (tool("mkfs.ext4", "-q"), Content.FOREIGN, "ext4"),
        (tool("mkswap"), Content.FOREIGN, "swap"),
        (tool("pvcreate", "-qq", "--devicesfile", ""), Content.FOREIGN, "LVM2_member"),
        (raw(0, b"LUKS\xba\xbe\x00\x01" + bytes(504)), Content.FOREIGN, "crypto_LUKS"),
        (raw(0, b"LUKS\xba\xbe\x00\x02" + bytes(504)), Content.FOREIGN, "crypto_LUKS"),
        (
            lambda loop: devices.command("sfdisk", "-q", str(loop), stdin="label: gpt\n,,\n"),
            Content.FOREIGN,
            "gpt",
        ),
        (
            lambda loop: devices.command("sfdisk", "-q", str(loop), stdin="label: dos\n,,\n"),
            Content.FOREIGN,
            "dos",
        ),
        (gfs2(OTHERS), Content.FOREIGN, f"gfs2 {OTHERS}"),
        (both(V09, gfs2(OTHERS)), Content.FOREIGN, f"gfs2 {OTHERS}"),
        (gfs2(OURS), Content.UNKNOWN, "without DRBD's metadata"),
        (V08, Content.FOREIGN, "another version of DRBD"),
        (V08_USED, Content.FOREIGN, "another version of DRBD"),
        (both(V09, raw(8 * MIB, b"x"), raw(4096, b"x")), Content.UNKNOWN, "not zero"),
        (raw(0, b"x"), Content.UNKNOWN, "not zero"),
        (raw(MIB - 1, b"x"), Content.UNKNOWN, "not zero"),
        (raw(-1, b"x"), Content.UNKNOWN, "not zero"),
        (raw(-MIB, b"x"), Content.UNKNOWN, "not zero"),
        (raw(2 * MIB, b"x" * (SIZE - 4 * MIB)), Content.UNKNOWN, "not zero"),
    ],
)
def test_what_is_not_this_pairs(
    tmp_path: Path, prepare: devices.Prepare, content: Content, seen: str
) -> None:
    side = look(tmp_path, prepare)
    assert side.content is content, side.seen
    assert seen in side.seen
    assert side.started is None


def test_xfs(tmp_path: Path) -> None:
    side = look(tmp_path, tool("mkfs.xfs", "-q"), size=320 * MIB)  # it takes nothing smaller
    assert (side.content, side.seen.split()[-1]) == (Content.FOREIGN, "xfs")


def test_a_member_of_an_array(tmp_path: Path) -> None:
    """mdadm needs the kernel's md to make one; its superblock 1.2 is told by its magic."""
    superblock = (0xA92B4EFC).to_bytes(4, "little") + (1).to_bytes(4, "little")
    side = look(tmp_path, raw(4096, superblock + bytes(248)))
    assert side.content is not Content.BLANK


@pytest.mark.parametrize("lab", [False, True])
def test_metadata_of_either_dialect(tmp_path: Path, lab: bool) -> None:
    new, used = (V08, V08_USED) if lab else (V09, V09_USED)
    found = {}
    for name, prepare in {"new": new, "used": used, "whole": both(used, gfs2(OURS))}.items():
        (tmp_path / name).mkdir()
        found[name] = look(tmp_path / name, prepare, lab=lab)
    assert {side.content for side in found.values()} == {Content.OURS}
    assert [side.just_created for side in found.values()] == [True, False, False]
    assert found["new"].uuids == ()
    assert found["used"].uuids == ("ec9f2a7c1b4d5e60", "a1a1a1a1a1a1a1a0")
    assert [side.file_system for side in found.values()] == [False, False, True]


def test_wiped_by_consent(tmp_path: Path) -> None:
    """Anything may be left between the ends, so it is never taken for blank."""
    for number, prepare in enumerate((lambda _: None, raw(SIZE // 2, b"old" * MIB))):
        (tmp_path / str(number)).mkdir()
        side = look(tmp_path / str(number), prepare, name="ks-wiped")
        assert side.content is Content.WIPED
    (tmp_path / "x").mkdir()
    assert look(tmp_path / "x", raw(9, b"x"), name="ks-wiped").content is Content.UNKNOWN


def test_latches_answer_for_metadata(tmp_path: Path) -> None:
    """The same bytes under metadata that this installation made are its own."""
    identity = an_identity()
    context = context_of(tmp_path, identity)
    with devices.partition(tmp_path, identity) as loop:
        both(V09, raw(4096, b"x"))(loop)
        assert data.look(context, attached=False).content is Content.UNKNOWN
        data.begin(context, "blank")
        data.begin(context, "wiped")  # a latch stays as it was
        side = data.look(context, attached=False)
        assert (side.content, side.started, side.just_created) == (Content.OURS, "blank", True)
        latches.set_once(tmp_path, latches.DATA_EXISTS, "")
        assert data.look(context, attached=False).data_exists


@pytest.mark.parametrize("version", ["v08", "v09"])
def test_metadata_cut_off_before_its_superblock(tmp_path: Path, version: str) -> None:
    """drbdmeta writes the log and the bitmap first; only this installation's own half is redone."""
    identity = an_identity(platform="debian12-lab" if version == "v08" else "el9")
    context = context_of(tmp_path, identity)
    with devices.partition(tmp_path, identity) as loop:
        both(metadata(version), raw(-4096, bytes(4096)))(loop)
        assert data.look(context, attached=False).content is Content.UNKNOWN
        data.begin(context, "blank")
        side = data.look(context, attached=False)
        assert (side.content, side.started) == (Content.BLANK, "blank"), side.seen
        metadata(version)(loop)
        assert data.look(context, attached=False).content is Content.OURS
        both(raw(-4096, bytes(4096)), raw(4096, b"x"))(loop)
        assert data.look(context, attached=False).content is Content.UNKNOWN


def test_a_latch_of_unreadable_text_counts(tmp_path: Path) -> None:
    latches.set_once(tmp_path, latches.SEED_STARTED, "")
    assert data.begun_from(tmp_path) == "unknown"


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    identity = an_identity()
    side = data.look(context_of(tmp_path, identity), attached=False)
    assert side.content is Content.UNKNOWN
    assert "cannot be read" in side.seen


def test_a_device_in_use_is_unknown(tmp_path: Path) -> None:
    identity = an_identity()
    with devices.partition(tmp_path, identity) as loop:
        handle = os.open(loop, os.O_RDONLY | os.O_EXCL)
        try:
            side = data.look(context_of(tmp_path, identity), attached=False)
        finally:
            os.close(handle)
    assert side.content is Content.UNKNOWN
    assert "busy" in side.seen


def test_a_short_read_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = an_identity()
    with devices.partition(tmp_path, identity):
        monkeypatch.setattr(os, "pread", lambda *_: b"")
        assert data.look(context_of(tmp_path, identity), attached=False).content is Content.UNKNOWN


@pytest.mark.parametrize("answer", ["{}", '{"signatures": [{}]}', "nonsense", "[]"])
def test_nonsense_of_wipefs_is_unknown(tmp_path: Path, answer: str) -> None:
    identity = an_identity()
    recorded = ScriptedRun()
    recorded.expect(f"wipefs -n -J {data.device(tmp_path, identity)}", answer)
    context = Context(identity, tmp_path, recorded, Told(), Meeting(identity, tmp_path, "boot"))
    assert data.look(context, attached=False).content is Content.UNKNOWN


def test_an_attached_partition_is_this_agents_or_unknown(tmp_path: Path) -> None:
    identity = an_identity()
    recorded = ScriptedRun()
    context = Context(identity, tmp_path, recorded, Told(), Meeting(identity, tmp_path, "boot"))
    assert data.look(context, attached=True).content is Content.UNKNOWN
    data.begin(context, "wiped")
    recorded.expect("drbdadm get-gi vmdata", "0000000000000004:" + 3 * ("0" * 16 + ":") + "0:0:0\n")
    side = data.look(context, attached=True)
    assert (side.content, side.just_created, side.started) == (Content.OURS, True, "wiped")
    recorded.assert_finished()


def test_pure_parts() -> None:
    assert data.parse_signatures("") == ()
    row = '{"device":"sda6","offset":"0x10000","type":"gfs2","uuid":"x","label":"00014:FS0"}'
    assert data.parse_signatures(f'{{"signatures": [{row}]}}') == (Signature("gfs2", OURS),)
    primary = "00000000000000A1:0000000000000004:0000000000000000:00000000000000B0:1:1:1:1:0:0:0\n"
    assert data.parse_generation(primary) == Generation(
        False, ("00000000000000a0", "0" * 14 + "b0")
    )
    with pytest.raises(ValueError, match="no generation identifiers"):
        data.parse_generation("No valid meta data found")
