"""DRBD's state from what it printed, and the places that make data: one each."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

import firstboot
from firstboot import drbd
from firstboot.commands import CommandError, Result
from firstboot.drbd import Status
from firstboot.seed import Content, SeedPermit, Side, decide
from tests.firstboot.conftest import ScriptedRun

RECORDED = Path(__file__).parent / "recorded"


def proc(name: str) -> Optional[Status]:
    return drbd.parse_proc((RECORDED / f"proc-drbd-8.4.11-{name}").read_text())


def test_8_4_as_it_was_recorded() -> None:
    connecting = proc("connecting")
    assert connecting == Status(
        False,
        "WFConnection",
        "Secondary",
        "Unknown",
        "Inconsistent",
        "DUnknown",
        out_of_sync_kib=194516,
    )
    assert str(connecting) == "WFConnection, Secondary/Unknown, Inconsistent/DUnknown"
    source = proc("source")
    assert source == Status(
        True, "SyncSource", "Secondary", "Secondary", "UpToDate", "Inconsistent", 2.1, 242, 194104
    )
    assert str(source).endswith("UpToDate/Inconsistent, 2.1% done, 4 min 02 s to go")
    target = proc("target")
    assert target
    assert (target.percent, target.eta_s, target.in_sync) == (4.2, 47, False)
    primary, in_sync = proc("primary"), proc("in-sync")
    assert primary
    assert in_sync
    assert primary.peer_role == "Primary"
    assert in_sync.in_sync
    assert not any(s.untouched or s.stands_alone for s in (connecting, source, target, in_sync))


def test_8_4_other_lines() -> None:
    text = (RECORDED / "proc-drbd-8.4.11-in-sync").read_text()
    inconsistent = text.replace("UpToDate/UpToDate", "Inconsistent/Inconsistent")
    status = drbd.parse_proc(inconsistent)
    assert status
    assert status.untouched
    alone = drbd.parse_proc(text.replace("cs:Connected", "cs:StandAlone"))
    assert alone
    assert (alone.stands_alone, alone.connected) == (True, False)
    assert drbd.parse_proc(text.replace(" 0: ", " 1: ")) is None
    assert drbd.parse_proc("version: 8.4.11\n 0: cs:Unconfigured\n") is None
    assert drbd.parse_proc("version: 9.3.3 (api:2/proto:118-124)\n") is None
    with pytest.raises(OSError, match="makes no sense"):
        drbd.parse_proc(" 0: cs:Connected something else\n")


def test_a_second_resource_is_not_ours() -> None:
    text = (RECORDED / "proc-drbd-8.4.11-connecting").read_text()
    busy = (RECORDED / "proc-drbd-8.4.11-target").read_text().split("\n", 2)[2]
    status = drbd.parse_proc(text.rstrip() + "\n\n" + busy.replace(" 0: ", " 1: "))
    assert status == proc("connecting")


def test_9_as_assumed() -> None:
    text = (RECORDED / "assumed-drbdsetup-status-9.json").read_text()
    status = drbd.parse_json(text)
    assert status == Status(
        True,
        "SyncSource",
        "Secondary",
        "Secondary",
        "UpToDate",
        "Inconsistent",
        0.44,
        4087,
        957330440,
    )
    assert str(status).endswith("0.4% done, 1 h 08 min to go")
    raw = json.loads(text)
    raw[1]["connections"][0]["connection-state"] = "Connecting"
    connecting = drbd.parse_json(json.dumps(raw))
    assert connecting
    assert (connecting.connected, connecting.replication) == (False, "Connecting")
    raw[1]["connections"] = []
    assert drbd.parse_json(json.dumps(raw)) is None
    assert drbd.parse_json("[]") is None


def test_status_asks_only_a_module_that_is_loaded(tmp_path: Path) -> None:
    run = ScriptedRun()
    assert drbd.status(run, tmp_path, drbd9=True) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/drbd").write_text("version: 9.3.3\n")
    run.expect("drbdsetup status --json", "[]")
    assert drbd.status(run, tmp_path, drbd9=True) is None
    run.expect("drbdsetup status --json", '[{"name": "vmdata"}]')
    with pytest.raises(CommandError):
        drbd.status(run, tmp_path, drbd9=True)
    (tmp_path / "proc/drbd").write_text((RECORDED / "proc-drbd-8.4.11-target").read_text())
    assert drbd.status(run, tmp_path, drbd9=False) == proc("target")
    run.assert_finished()


def permit(*, skip: bool) -> SeedPermit:
    """As the table gives it."""
    mine = Side(Content.BLANK if skip else Content.WIPED, "")
    given = decide(True, mine, Side(Content.BLANK, "")).permit
    assert given
    return given


@pytest.mark.parametrize(
    ("skip", "drbd9", "commands"),
    [
        (True, True, ["drbdadm new-current-uuid --clear-bitmap vmdata/0"]),
        (True, False, ["drbdadm new-current-uuid --clear-bitmap vmdata/0"]),
        (False, True, ["drbdadm new-current-uuid --force-resync vmdata/0"]),
        (False, False, ["drbdadm primary --force vmdata", "drbdadm secondary vmdata"]),
    ],
)
def test_how_data_begins(skip: bool, drbd9: bool, commands: list[str]) -> None:
    run = ScriptedRun()
    for command in commands:
        run.expect(command)
    drbd.begin_data(run, permit(skip=skip), drbd9=drbd9)
    run.assert_finished()


def test_data_begins_with_a_permit_only() -> None:
    with pytest.raises(TypeError):
        drbd.begin_data(ScriptedRun(), object(), drbd9=True)  # type: ignore[arg-type]


def test_drbdadm_quotes_the_secret_and_we_do_not() -> None:
    """The words are those of drbd-utils 9.22.0 with a kernel that lacks hmac."""
    quoted = (
        "Command 'drbdsetup-84 connect vmdata ipv4:192.168.40.1:7788 ipv4:192.168.40.2:7788"
        " --cram-hmac-alg=sha256 --shared-secret=CANARY --verify-alg=crc32c' terminated with exit"
        " code 10\n"
    )

    def failing(argv: Sequence[str], **_: object) -> Result:
        raise CommandError(Result(tuple(argv), 1, "", quoted))

    with pytest.raises(CommandError) as caught:
        drbd.bring_up(failing)
    assert "shared-secret=... --verify-alg" in str(caught.value)
    error: Optional[BaseException] = caught.value
    assert isinstance(error, CommandError)
    assert "CANARY" not in str(error) + error.result.stderr
    assert error.__suppress_context__


AGENT = sorted(Path(firstboot.__file__).parent.rglob("*.py"))


def holders(word: str, also: str = "") -> list[str]:
    """Functions of the agent with this very string in them; "" where it stands outside of any."""
    found = []
    for source in AGENT:
        tree = ast.parse(source.read_text())
        inside = 0
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                words = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                if word in words and (not also or also in words):
                    found.append(node.name)
                inside += words.count(word)
        whole = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)].count(word)
        found += [""] * (whole - inside)
    return found


@pytest.mark.parametrize(
    ("word", "also", "places"),
    [
        ("create-md", "", ["create_metadata"]),
        ("new-current-uuid", "", ["begin_data"]),
        ("--force", "drbdadm", ["begin_data"]),
        ("mkfs.gfs2", "", ["make_file_system"]),
    ],
)
def test_what_makes_data_stands_in_one_function(word: str, also: str, places: "list[str]") -> None:
    """Of all the agent's code; and the two that make data cannot be called without a permit."""
    assert holders(word, also) == places


def test_data_is_called_newest_by_a_humans_word_alone() -> None:
    callers = [path.name for path in AGENT if "call_newest(" in path.read_text()]
    assert callers == ["promotion.py", "resolve.py", "startalone.py"]


def test_only_the_table_makes_permits() -> None:
    callers = {
        source.name
        for source in AGENT
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SeedPermit"
    }
    assert callers == {"seed.py"}
    assert [p.name for p in AGENT if "_ONLY_HERE" in p.read_text()] == ["seed.py"]
