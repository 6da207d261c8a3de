"""The lab's own decisions, without machines."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from builder.profile.load import load
from tests.lab import writer
from tests.lab.__main__ import drill, parser
from tests.lab.audits import BAD_WORDS, CONNECTED, bad_lines
from tests.lab.bringup import described, platform
from tests.lab.drilling import Drilling
from tests.lab.drills import DRILLS, criterion, possible
from tests.lab.figures import skipping_s
from tests.lab.memory import same_memory
from tests.lab.progress import COMPLETE, EVENT
from tests.lab.report import node_report, rehearsal
from tests.uml.kernel import MissingPiece
from tests.uml.pair import PROFILE


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_drills_criterion_is_in_the_manual(root: Path) -> None:
    manual = (root / "docs/lab.md").read_text()
    sections = dict(re.findall(r"^### (\S+)\n\n(.*?)(?=\n#|\Z)", manual, re.MULTILINE | re.DOTALL))
    assert {name: words(text) for name, text in sections.items()} == {
        name: criterion(name) for name in DRILLS
    }
    assert all(len(criterion(name)) > 60 for name in DRILLS)


@pytest.mark.parametrize("page", ["tutorial.md", "lab.md"])
def test_the_manual_names_what_the_makefile_has(root: Path, page: str) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(
        r"^    make ([a-z-]+)(.*)$", (root / "docs" / page).read_text(), re.MULTILINE
    )
    assert named
    assert {target for target, _ in named} <= set(targets)
    drills = {word for _, rest in named for word in re.findall(r"\bD=(\S+)", rest)}
    assert drills <= DRILLS.keys()


@pytest.mark.parametrize("before", ["", 'description = "another"\n'])
def test_a_nonce_goes_through_the_profile(tmp_path: Path, before: str) -> None:
    text = PROFILE.read_text().replace("[pair]\n", f"[pair]\n{before}")
    profile = tmp_path / "lab.toml"
    profile.write_text(described(text, 'nonce "1" \\ 2'))
    assert load(profile).profile.pair.description == 'nonce "1" \\ 2'
    assert described(text, "") == text


def test_what_a_console_tells() -> None:
    console = (
        "[   31.0] ksnode[81]: ksnode: preflight: ok: the clock says 1998\r\n"
        "ksnode: firewall: absent: not on this platform\r\n"
        "ksnode: + nmcli connection: done\r\n"
        "ksnode: fencing: waiting: julius: until it is ready to be cut off\r\n"
    )
    assert [event.groups()[:2] for event in EVENT.finditer(console)] == [
        ("preflight", "ok"), ("firewall", "absent"), ("fencing", "waiting")
    ]  # fmt: skip
    assert not COMPLETE.search(console + "ksnode: complete this later\r\n")
    assert COMPLETE.search(console + "[   99.1] ksnode[81]: ksnode: complete\r\n")


def test_a_node_that_left_nothing_is_not_complete() -> None:
    assert node_report({}) == {
        "result": {}, "report": None, "fencing_proven": None, "not_on_this_platform": []
    }  # fmt: skip
    told = '{"verdict": "complete", "steps": {"firewall": {"event": "absent"}}}'
    assert node_report({"RESULT": told})["not_on_this_platform"] == ["firewall"]
    log = [[1.0, "disk"], [2.0, "off"], [3.0, "on"], [9.0, "off"]]
    assert rehearsal(log) == {"off": 2.0, "on": 3.0}


def test_the_command_line() -> None:
    assert parser().parse_args(["drills", "--seed", "7"]).seed == 7
    assert parser().parse_args(["drill", "pull-power"]).names == ["pull-power"]
    with pytest.raises(SystemExit):
        parser().parse_args(["drill", "pull-everything"])


def test_each_platform_has_its_drills(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pull-one-cable" in possible("qemu")
    assert "pull-one-cable" not in possible("uml")
    assert "cut-at-every-step" not in possible("qemu")
    assert {*possible("qemu"), *possible("uml")} == DRILLS.keys()
    monkeypatch.delenv("LAB", raising=False)
    assert platform() == "uml"
    monkeypatch.setenv("LAB", "xen")
    with pytest.raises(MissingPiece, match="LAB=xen is neither"):
        platform()


def test_a_drill_of_the_other_platform_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB", "uml")
    options = parser().parse_args(["drill", "pull-one-cable"])
    with pytest.raises(MissingPiece, match="next: make drill LAB=qemu"):
        drill(options, Path("unused"), lambda *_: None)


def test_records_are_looked_at_one_by_one(tmp_path: Path) -> None:
    """The node's own reader, on a file that lacks one record and has one that is garbled."""
    import json
    import sys
    import zlib

    def record(number: int) -> bytes:
        body = b"%012d" % number
        return (body + b" %08x" % zlib.crc32(body)).ljust(writer.RECORD - 1) + b"\n"

    whole = [record(number) for number in range(1, 9)]
    whole[4] = whole[4].replace(b"5", b"6", 1)
    path = tmp_path / "records"
    path.write_bytes(b"".join(whole[:2] + whole[3:]) + b"torn")

    def read(acknowledged: int) -> dict[str, object]:
        argv = [sys.executable, "-c", writer._READ, str(path), str(acknowledged)]
        found: dict[str, object] = json.loads(subprocess.check_output(argv))
        return found

    assert read(8) == {"missing": 2, "first": [3, 5], "whole": 6}
    assert read(2) == {"missing": 0, "first": [], "whole": 6}
    assert read(10)["missing"] == 4
    path.unlink()  # a power cut can lose the file's name as well
    assert read(8) == {"missing": 8, "first": [1, 2, 3], "whole": 0}


def test_words_of_proc_drbd_and_the_kernel() -> None:
    line = " 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----"
    assert CONNECTED.search(line)
    assert not CONNECTED.search(line.replace("UpToDate/UpToDate", "UpToDate/Inconsistent"))
    assert BAD_WORDS.search("gfs2: fsid=lab:FS0.0: about to withdraw this file system")
    assert not BAD_WORDS.search("gfs2: fsid=lab:FS0.0: jid=1: Replaying journal...0x0 to 0x2")


def test_one_warning_of_linux_6_1_is_known_and_no_other() -> None:
    """Lines of a node's kernel in QEMU, Debian's 6.1.0-56-amd64, `journalctl -k -o cat`."""
    known = """------------[ cut here ]------------
memcpy: detected field-spanning write (size 112) of single field "&e->request" at \
fs/dlm/requestqueue.c:47 (size 88)
WARNING: CPU: 0 PID: 24 at fs/dlm/requestqueue.c:47 dlm_add_requestqueue+0xe7/0xf0 [dlm]
Call Trace:
 dlm_receive_buffer+0x105/0x140 [dlm]
---[ end trace 0000000000000000 ]---""".replace("\\\n", "")
    other = known.replace("requestqueue", "lock")
    assert bad_lines(f"quiet\n{known}\nquiet") == []
    assert bad_lines(f"{known}\n{other}\n{known}") == ["Call Trace:"]


def test_the_bound_is_the_one_that_drbds_handlers_are_given() -> None:
    from builder.plan.pair import pair
    from firstboot.node import SCHEMA, Identity
    from firstboot.render.drbd import render

    class OnlyThePlan:
        plan = pair(load(PROFILE).profile)

    dice = random.Random(1)  # noqa: S311
    drill = Drilling(OnlyThePlan(), lambda *_: None, dice)  # type: ignore[arg-type]
    resource = render(Identity(SCHEMA, "julius", OnlyThePlan.plan))[1].text
    assert f"--timeout {drill.bound_s:.0f} " in resource


def test_memory_is_counted_once() -> None:
    with subprocess.Popen(["sleep", "30"]) as other:
        assert same_memory(os.getpid(), os.getpid())
        assert not same_memory(os.getpid(), other.pid)
        other.kill()


def test_skipping_the_first_sync_ends_when_the_step_is_done() -> None:
    """As justinian's journal.jsonl had it after `make lab`."""
    told = [("14:53", "missing", "vmdata is not up"), ("14:54", "waiting", "for julius")]
    told += [("14:58", "waiting", "vmdata: WFConnection, Secondary/Unknown, Inconsistent/DUnknown")]
    told += [
        ("15:02", "waiting", "vmdata: Connected, Secondary/Secondary, Inconsistent/Inconsistent"),
        ("15:05", "done", "Connected, Secondary/Secondary, UpToDate/UpToDate"),
        ("18:42", "ok", ""),
    ]
    events = [
        {"step": "replication", "at": f"2026-11-27T11:{at}Z", "event": event, "detail": detail}
        for at, event, detail in told
    ]
    assert skipping_s(events) == 3
