"""ksnode apply: which plans it takes, when, what it says; tests/pair plays the change itself."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from firstboot import change, changing, latches, planfile
from firstboot.__main__ import main
from firstboot.commands import TIMED_OUT, CommandError, Result
from firstboot.drbd import Status
from firstboot.engine import Refused
from firstboot.exits import DIFFERENT, OK, REFUSED
from firstboot.node import Bridge, Identity, from_json, to_json
from firstboot.pacemaker import parse
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.verbs.apply import allow, reached
from firstboot.verbs.converging import _look_after_changes as look_after_changes
from firstboot.verbs.converging import alone
from tests.firstboot.conftest import PAIR_ID, ScriptedRun, Told, a_pair, an_identity
from tests.firstboot.plans import as_plan
from tests.firstboot.test_gate import BOND_PING, UPLINK_PING
from tests.firstboot.test_pacemaker import recorded
from tests.firstboot.test_steps import lay

MOUNTED = recorded("mounted")
IN_SYNC = Status(True, "Established", "Primary", "Primary", "UpToDate", "UpToDate")


def with_a_vlan(node: str = "justinian") -> Identity:
    before = an_identity(node)
    bridges = (*before.pair.bridges, Bridge("br0.9", 9, ()))
    return replace(before, pair=replace(before.pair, bridges=bridges))


def test_a_plan_is_this_node_by_that_plan() -> None:
    text = as_plan(with_a_vlan())
    for name in ("justinian", "julius"):
        assert planfile.parse(text, an_identity(name)) == with_a_vlan(name)


OTHERS = replace(a_pair(), id=PAIR_ID.replace("6", "7"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no plan of a pair"),
        ("[]", "no plan of a pair"),
        (to_json(an_identity()), "no plan of a pair"),
        (as_plan(an_identity(), format="ksbuild/pair/0"), "of format 'ksbuild/pair/0'"),
        (as_plan(an_identity(), agent="0.0.1"), "of agent '0.0.1'"),
        (as_plan(an_identity(), schema=0), "of schema 0, this node's is"),
        (as_plan(an_identity(), more=1), r"not whole: .*unknown keys \['more'\]"),
        (as_plan(an_identity(), pair={}), "not whole"),
        (as_plan(an_identity(), pair=None), "not whole"),
        (as_plan(an_identity()).replace('"sleep_ms": 10', '"sleep_ms": 11'), "changed by hand"),
        (as_plan(replace(an_identity(), pair=OTHERS)), f"is of pair {OTHERS.id}"),
    ],
)
def test_any_other_file_is_refused(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        planfile.parse(text, an_identity())
    assert "ksbuild plan PROFILE --out pair.plan" in refused.value.way_out


def test_thresholds_change_in_life_and_touch_nothing() -> None:
    """`ksnode check` reads them where it reads who it is: the plan itself."""
    before = an_identity()
    limits = replace(before.pair.monitoring, disk_celsius=55, quiet_sensors=("Fan 4",))
    wanted = replace(before, pair=replace(before.pair, monitoring=limits))
    assert planfile.parse(as_plan(wanted), before) == wanted
    found = change.differences(before.pair, wanted.pair)
    assert [str(difference) for difference in found] == [
        "~ monitoring.disk_celsius: 60 -> 55 (in life: it counts from the next look)",
        '~ monitoring.quiet_sensors: [] -> ["Fan 4"] (in life: it counts from the next look)',
    ]
    assert change.needs_reinstall(found) == []
    assert change.steps(found) == ()


PEER = r'(name="julius" id="2" [^>]*{}=)"{}"'


def told(name: str, old: str, new: str) -> str:
    changed = re.sub(PEER.format(name, old), rf'\1"{new}"', MOUNTED)
    assert changed != MOUNTED
    return changed


@pytest.mark.parametrize(
    ("shown", "data", "why"),
    [
        (None, IN_SYNC, "pacemaker does not answer on this node"),
        (told("online", "true", "false"), IN_SYNC, "julius is not online"),
        (told("unclean", "false", "true"), IN_SYNC, "julius waits to be fenced"),
        (MOUNTED.replace('with_quorum="true"', 'with_quorum="false"'), IN_SYNC, "has no quorum"),
        (
            MOUNTED.replace('id="ks-vmdata"', 'id="ks-vmdata-not"'),
            IN_SYNC,
            "justinian has nothing mounted; julius has nothing mounted",
        ),
        (MOUNTED, None, "DRBD is not up"),
        (MOUNTED, replace(IN_SYNC, peer_disk="Outdated"), "DRBD is .*Outdated"),
        (MOUNTED, replace(IN_SYNC, connected=False), "DRBD is "),
    ],
)
def test_only_a_whole_pair_is_changed(
    shown: Optional[str], data: Optional[Status], why: str
) -> None:
    state = None if shown is None else parse(shown)
    refusal = changing.objection(an_identity(), state, data)
    assert refusal is not None
    assert re.search(why, refusal.evidence)
    assert changing.objection(an_identity(), parse(MOUNTED), IN_SYNC) is None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A complete node; what it may run is nothing."""
    lay(tmp_path, "etc/ksbuild/node.json", to_json(an_identity()))
    latches.set_once(tmp_path, latches.COMPLETE, "")
    return tmp_path


def typed(root: Path, wanted: Identity, *more: str) -> int:
    (root / "pair.plan").write_text(as_plan(wanted))
    return main(["--root", str(root), "apply", str(root / "pair.plan"), *more])


def test_a_dry_run_says_what_differs_and_changes_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(root, with_a_vlan(), "--dry-run") == DIFFERENT
    said = capsys.readouterr().out
    assert said == '+ bridges.br0.9: {"addresses":[],"name":"br0.9","vlan":9} (in life)\n'
    assert typed(root, replace(an_identity(), description="of Rome"), "--dry-run") == DIFFERENT
    assert capsys.readouterr().out == "~ description (in life)\n"
    assert from_json((root / "etc/ksbuild/node.json").read_text()) == an_identity()
    assert not changing.is_undone(root)


def test_the_plan_it_lives_by_is_nothing_to_do(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(root, an_identity()) == OK
    assert capsys.readouterr().out == "nothing differs\n"


def test_keys_of_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(root, with_a_vlan(), "--dry-run", "--json") == DIFFERENT
    answer = json.loads(capsys.readouterr().out)
    assert answer.keys() == {"schema", "node", "digest", "wanted", "differences"}
    assert answer["schema"] == 1
    assert answer["digest"] != answer["wanted"]
    assert answer["differences"] == [
        {
            "path": "bridges.br0.9",
            "before": None,
            "after": {"name": "br0.9", "vlan": 9, "addresses": []},
            "how": "in life",
            "note": "",
        }
    ]


def test_what_needs_a_reinstall_is_named_and_nothing_is_changed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = with_a_vlan()
    wanted = replace(wanted, pair=replace(wanted.pair, name="00015"))
    assert typed(root, wanted) == REFUSED
    said = capsys.readouterr()
    assert '~ name: "00014" -> "00015" (reinstall: cluster and file system have this' in said.out
    assert "ksnode: needs a reinstall: name\n" in said.err
    assert not changing.is_undone(root)


def test_a_node_that_is_not_complete_has_no_life_to_change(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not complete"):
        allow(tmp_path / "other", [])
    allow(root, [])


def test_no_such_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(root), "apply", "/nowhere/pair.plan"]) == REFUSED
    assert "/nowhere/pair.plan: No such file" in capsys.readouterr().err


def test_who_answers_is_counted_one_by_one() -> None:
    run = ScriptedRun()
    gateway = "ping -n -q -c 1 -W 2 -I br0 10.0.3.254"
    run.expect(gateway).expect(BOND_PING).expect(UPLINK_PING, returncode=1)
    assert reached(an_identity(), run) == {"the gateway", "julius on bond0"}
    run.expect(gateway, returncode=2).expect(BOND_PING, returncode=1).expect(UPLINK_PING)
    assert reached(an_identity(), run) == {"julius on the uplink"}


def test_a_program_that_hangs_is_ended_when_the_time_is_up() -> None:
    clock = [0.0]
    given: list[float] = []

    def run(argv: Sequence[str], *, timeout_s: float = 0, **_: Any) -> Result:
        given.append(timeout_s)
        clock[0] += timeout_s
        raise CommandError(Result(tuple(argv), TIMED_OUT, "", ""))

    door = changing.until(60.0, run, lambda: clock[0])
    with pytest.raises(CommandError):
        door(["nmcli"], timeout_s=50.0)
    with pytest.raises(CommandError):
        door(["nmcli"], timeout_s=50.0)
    with pytest.raises(CommandError, match="the time for the change is up"):
        door(["nmcli"])
    assert given == [50.0, 10.0]


def test_what_is_not_put_back_is_told_until_it_is(root: Path, told: Told) -> None:
    run = ScriptedRun()
    meeting = Meeting(an_identity(), root, "boot")
    context = Context(an_identity(), root, run, told, meeting)
    (root / "run").mkdir()
    assert not look_after_changes(context, was_undone=False)
    changing.begin(root, "a plan of another agent")
    assert look_after_changes(context, was_undone=False)
    assert told.events == [("apply", "failed", "not put back yet: this is no plan of a pair")]
    with alone(root):
        assert look_after_changes(context, was_undone=True), "a change is at work"
    (root / changing.UNDONE).unlink()
    assert not look_after_changes(context, was_undone=True)
    assert told.events[-1] == ("apply", "ok", "an unfinished change was put back")
    (root / changing.NODE).write_text(to_json(with_a_vlan()))
    run.expect("systemctl --no-block restart ksnode.service")
    assert not look_after_changes(context, was_undone=False)
    run.assert_finished()
