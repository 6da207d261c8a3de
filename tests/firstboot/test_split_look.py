"""A node's half as it sees it: kernel log, disk, libvirt; and how the peer is asked for it."""

import re
import shutil
from pathlib import Path

import pytest

from firstboot import data, drbd, latches
from firstboot.drbd import dump_metadata
from firstboot.node import Identity
from firstboot.rendezvous.credentials import PAIR
from firstboot.rendezvous.session import Meeting
from firstboot.splitbrain import look
from firstboot.splitbrain.half import Half
from firstboot.splitbrain.table import Relation, objection, relation, resync_kib
from firstboot.steps import Context
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_cluster_steps import MOUNTED
from tests.firstboot.test_pacemaker import LOOK, recorded
from tests.firstboot.test_splitbrain import half

RECORDED = Path(__file__).parent / "recorded"
WORDS = ("proc-drbd", "get-gi", "dmesg")

GUESTS = "virsh --quiet --connect qemu:///system list --name"
ALONE = "StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown r-----"


def lay_drbd(root: Path, state: str) -> None:
    (root / "proc/drbd").write_text(f" 0: cs:{state}\n    ns:0 oos:64\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text("")
    lay_drbd(tmp_path, ALONE)
    return tmp_path


def test_the_peer_tells_its_half_to_the_pair_alone(
    roots: "dict[str, Path]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two meetings over TLS: asked by name, looked at once, and only in sessions of the pair."""
    looked: list[str] = []

    def one(identity: Identity, *_: object) -> Half:
        looked.append(identity.node)
        return half(identity.node, mounted=True)

    monkeypatch.setattr(look, "look", one)
    meetings = {}
    for name in ("justinian", "julius"):
        root = tmp_path / name
        shutil.copytree(roots[name] / "etc/ksbuild/introduction", root / "etc/ksbuild/pair")
        shutil.copytree(roots[name] / "etc/ksbuild/introduction", root / "etc/ksbuild/introduction")
        identity = an_identity(name)
        meetings[name] = Meeting(identity, root, f"boot-{name}", port=18447)
        teller = look.Teller(identity, root, ScriptedRun())
        meetings[name].admit(teller.answer)
        assert teller.answer("introduction", {look.TOPIC: {"asks": "x"}}) == {}
        assert teller.answer(PAIR, {look.TOPIC: "x"}) == {}
    me = an_identity("justinian")
    context = Context(me, tmp_path / "justinian", ScriptedRun(), Told(), meetings["justinian"])
    assert look.ask(context) is None, "nobody answers yet"
    meetings["julius"].start()
    try:
        assert look.ask(context) == half("julius", mounted=True)
        assert look.ask(context) == half("julius", mounted=True)
    finally:
        meetings["julius"].stop()
    assert looked == ["julius", "julius"]


def log(name: str) -> str:
    return (RECORDED / f"kernel-{name}").read_text()


def as_dmesg(text: str) -> str:
    """Its messages as `dmesg --time-format iso` has them (util-linux, dmesg(1)); times by hand."""
    messages = re.findall(r"^.*\[ *\d+\.\d+\] (.*)$", text, re.MULTILINE)
    lines = (f"2026-03-04T06:06:{n:02},684221+01:00 {said}" for n, said in enumerate(messages))
    return "".join(f"{line}\n" for line in lines)


def generations(text: str, side: str) -> "tuple[str, ...]":
    """As get-gi prints what the kernel logged of that side."""
    found = re.search(rf"{side} ((?:[0-9A-F]{{16}}:){{3}}[0-9A-F]{{16}}) ", text)
    assert found
    return tuple(f"{n:016x}" for n in drbd.generations(f"{found[1]}:1:1:0:1:0:0:0\n"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("split-brain-8.4", Relation.SPLIT), ("unrelated-8.4", Relation.UNRELATED)],
)
def test_the_relation_is_what_a_real_kernel_found(name: str, expected: Relation) -> None:
    mine = half(generations=generations(log(name), "self"))
    theirs = half("julius", generations=generations(log(name), "peer"))
    assert relation(mine, theirs) is relation(theirs, mine) is expected


@pytest.mark.parametrize("name", ["split-brain-8.4", "split-brain-9"])
def test_a_split_brain_has_its_time_until_it_is_past(name: str) -> None:
    told = as_dmesg(log(name))
    at = told.splitlines()[-1].split()[0]
    second = next(n for n, line in enumerate(told.splitlines()) if "Split-Brain" in line)
    assert parted(told) == f"2026-03-04T05:06:{second:02}Z"
    for line in (  # as drbd_state.c of 8.4 and of 9 write it
        f"{at} block drbd0: conn( WFBitMapT -> SyncTarget ) disk( UpToDate -> Inconsistent )\n",
        f"{at} drbd vmdata/0 drbd0 justinian: repl( WFBitMapT -> SyncTarget )\n",
    ):
        assert parted(told + line) == ""
        assert parted(told + line + told) != ""


def test_no_split_brain_is_made_up() -> None:
    assert parted("") == parted(as_dmesg(log("unrelated-8.4"))) == ""


def parted(text: str) -> str:
    return look.parted(ScriptedRun().expect("dmesg --time-format iso", text))


def test_a_node_sees_its_half(root: Path) -> None:
    identity = an_identity(platform="debian12-lab")
    (root / "proc/mounts").write_text(MOUNTED)
    partition = data.device(root, identity)
    partition.parent.mkdir(parents=True)
    partition.write_bytes(b"no GFS2" * 20000)
    gi = "9E4DEF0B06A6DA9D:41C26508159C156A:CA64B93EC801717D:CA63B93EC801717D:1:1:0:1:0:0:0\n"
    run = ScriptedRun().expect("drbdadm get-gi vmdata", gi).expect(GUESTS, "web\n")
    run.expect("dmesg --time-format iso", as_dmesg(log("split-brain-8.4")))
    found = look.look(identity, root, run)
    run.assert_finished()
    assert (found.connection, found.role, found.disk) == ("StandAlone", "Secondary", "UpToDate")
    assert (found.written_kib, found.mounted, found.guests) == (64, True, ("web",))
    assert found.generations[:2] == ("9e4def0b06a6da9c", "41c26508159c156a")
    assert (found.last_write, found.gives_way) == ("", False)
    assert found.parted
    run.expect("drbdadm get-gi vmdata", "", 10).expect(GUESTS, "").expect(
        "dmesg --time-format iso", ""
    )
    assert look.look(identity, root, run).generations == ()
    (root / "proc/drbd").write_text("version: 8.4.11\n")
    run.expect(GUESTS, "").expect("dmesg --time-format iso", "")
    assert not look.look(identity, root, run).up


def test_guests_that_can_not_be_told_are_not_none(root: Path) -> None:
    identity = an_identity()
    (root / "proc/drbd").unlink()
    run = ScriptedRun()
    for status, expected in ((0, ("web", "db")), (1, None)):
        run.expect(GUESTS, "web\ndb\n\n", status)
        run.expect("dmesg --time-format iso", "")
        assert look.look(identity, root, run).guests == expected


def test_metadata_is_copied_in_either_dialect(tmp_path: Path) -> None:
    run = ScriptedRun()
    for version, drbd9 in (("v09", True), ("v08", False)):
        run.expect(f"drbdmeta --force 0 {version} {tmp_path} internal dump-md", "x")
        assert dump_metadata(run, tmp_path, drbd9=drbd9) == "x"
    run.assert_finished()


def test_only_a_complete_node_names_it(root: Path) -> None:
    run, identity = ScriptedRun(), an_identity(platform="debian12-lab")
    assert look.reasons(identity, root, run) == []
    latches.set_once(root, latches.COMPLETE, "")
    run.expect("dmesg --time-format iso", "", 127).expect(LOOK, "", 102)
    (reason,) = look.reasons(identity, root, run)
    assert (reason["event"], reason["next"]) == ("stands alone", "ksnode resolve")
    lay_drbd(root, "Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----")
    run.expect(LOOK, recorded("mounted"))
    assert look.reasons(identity, root, run) == []
    run.assert_finished()


def test_a_real_split_brain_as_both_machines_saw_it(root: Path) -> None:
    def seen(name: str) -> Half:
        said = {w: (RECORDED / f"{w}-8.4.11-split-{name}").read_text() for w in WORDS}
        (root / "proc/drbd").write_text(said["proc-drbd"])
        run = ScriptedRun().expect("drbdadm get-gi vmdata", said["get-gi"]).expect(GUESTS, "")
        run.expect("dmesg --time-format iso", said["dmesg"])
        return look.look(an_identity(name, "debian12-lab"), root, run)

    mine, theirs = seen("justinian"), seen("julius")
    assert (mine.role, theirs.role) == ("Primary", "Secondary")
    assert relation(mine, theirs) is Relation.SPLIT
    assert resync_kib(mine, theirs) == mine.written_kib + theirs.written_kib > 0
    assert mine.parted or theirs.parted
    assert objection(theirs, mine) is None
