"""Who may start the cluster at a boot, and what is remembered of the boots before."""

from itertools import product
from pathlib import Path
from typing import Optional

import pytest

from firstboot import gate, latches
from firstboot.__main__ import main
from firstboot.exits import OK, REFUSED
from firstboot.gate import Boot, Decision, recorded
from firstboot.node import to_json
from firstboot.verbs.gate import wait_and_start
from tests.firstboot.conftest import ScriptedRun, an_identity

NOW = 1_700_000_000.0
LINKS = ["bond0"]
ACTIVE = "systemctl is-active corosync.service pacemaker.service"
START = "systemctl start --no-block corosync.service pacemaker.service"
BOND_PING = "ping -n -q -c 1 -W 2 -I bond0 127.0.7.2"
UPLINK_PING = "ping -n -q -c 1 -W 2 10.0.0.2"


def boots(*unclean_minutes_ago: Optional[int]) -> tuple[Boot, ...]:
    return tuple(
        Boot(f"boot {n}", NOW - 60 * (minutes or 0), unclean=minutes is not None)
        for n, minutes in enumerate(unclean_minutes_ago)
    )


@pytest.mark.parametrize(
    ("record", "links", "start"),
    [
        (boots(None), LINKS, True),
        (boots(None), [], False),
        (boots(0), LINKS, True),
        (boots(0), [], False),
        (boots(20, 0), LINKS, False),
        (boots(29, 20, 0), LINKS, False),
        (boots(30, 0), LINKS, True),
        (boots(40, 31, 0), LINKS, True),
    ],
)
def test_decision(record: tuple[Boot, ...], links: list[str], start: bool) -> None:
    decision = gate.decide(record, NOW, "julius", links)
    assert decision.start == start
    assert bool(decision.why) != start


def test_a_node_that_keeps_being_cut_off_waits_and_says_how_long() -> None:
    record = boots(25, 20, 0)
    assert "3 of this node's boots" in gate.decide(record, NOW, "julius", LINKS).why
    assert "waiting 10 minutes" in gate.decide(record, NOW, "julius", LINKS).why
    assert gate.decide(record, NOW + 600, "julius", LINKS) == Decision(True)


def test_every_boot_is_recorded_once_and_judged_by_how_the_last_one_ended() -> None:
    first = recorded((), "a", "", NOW)
    assert first == (Boot("a", NOW, unclean=False),)
    assert recorded(first, "a", "", NOW + 9) == first
    assert recorded(first, "b", "a", NOW + 9)[1] == Boot("b", NOW + 9, unclean=False)
    assert recorded(first, "b", "", NOW + 9)[1].unclean
    assert recorded(first, "b", "long ago", NOW + 9)[1].unclean


def test_a_clock_that_was_ahead_does_not_keep_a_node_out_for_years() -> None:
    ahead = (Boot("a", NOW + 1e9, unclean=True),)
    record = recorded(ahead, "b", "", NOW)
    assert [boot.at for boot in record] == [NOW, NOW]
    assert not gate.decide(record, NOW, "julius", LINKS).start
    assert gate.decide(record, NOW + gate.WINDOW_S, "julius", LINKS).start


@pytest.mark.parametrize("clean", list(product([True, False], repeat=2)))
def test_three_boots_on_disk(tmp_path: Path, clean: tuple[bool, bool]) -> None:
    for number, ended in enumerate(clean):
        gate.begin(tmp_path, f"boot {number}", NOW)
        if ended:
            gate.end(tmp_path, f"boot {number}")
    record = gate.begin(tmp_path, "boot 2", NOW)
    assert [boot.unclean for boot in record] == [False, not clean[0], not clean[1]]


def test_a_gate_started_again_takes_back_that_the_boot_has_ended(tmp_path: Path) -> None:
    gate.begin(tmp_path, "a", NOW)
    gate.end(tmp_path, "a")
    gate.begin(tmp_path, "a", NOW)
    assert gate.begin(tmp_path, "b", NOW)[-1].unclean


@pytest.mark.parametrize("text", ["{", "[1]", '[{"id": "a"}]', '[{"id": "a", "at": "?"}]', "null"])
def test_an_unreadable_record_counts_against_the_node(tmp_path: Path, text: str) -> None:
    (tmp_path / "var/lib/ksbuild").mkdir(parents=True)
    (tmp_path / "var/lib/ksbuild/boots.json").write_text(text)
    assert not gate.decide(gate.begin(tmp_path, "b", NOW), NOW, "julius", LINKS).start


def go(run: ScriptedRun, root: Path, *, boot: str = "b") -> float:
    """Pass the gate; how long it took, in seconds of its own clock."""
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    wait_and_start(
        an_identity(), root, boot, run,
        now=lambda: NOW + clock[0], uptime=lambda: clock[0], sleep=sleep,
    )  # fmt: skip
    run.assert_finished()
    return clock[0]


def test_it_waits_for_the_peer_then_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ScriptedRun()
    for _ in range(2):
        run.expect(ACTIVE, "inactive\ninactive\n", 3)
        run.expect(BOND_PING, returncode=1).expect(UPLINK_PING, returncode=2)
    run.expect(ACTIVE, "inactive\ninactive\n", 3)
    run.expect(BOND_PING, returncode=1).expect(UPLINK_PING)
    run.expect(START).expect(ACTIVE, "activating\ninactive\n", 3)
    run.expect(ACTIVE, "active\nactive\n")
    assert go(run, tmp_path) == 15
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "ksnode: gate: julius answers on no link; waiting for it;"
        " next: if julius is off: ksnode start-alone julius",
        "ksnode: gate: julius answers on the uplink; starting the cluster",
        "ksnode: gate: the cluster runs",
    ]
    assert "julius answers on the uplink" in gate.saying(tmp_path, "b")
    assert gate.saying(tmp_path, "another boot").endswith("systemctl status ksbuild-gate")


def test_it_waits_out_a_fence_loop(tmp_path: Path) -> None:
    gate.begin(tmp_path, "1", NOW - 600)
    gate.begin(tmp_path, "2", NOW - 300)
    run = ScriptedRun()
    for _ in range(300):  # until the boot five minutes ago is half an hour past
        run.expect(ACTIVE, "inactive\ninactive\n", 3).expect(BOND_PING).expect(UPLINK_PING)
    run.expect(ACTIVE, "inactive\ninactive\n", 3).expect(BOND_PING).expect(UPLINK_PING)
    run.expect(START).expect(ACTIVE, "active\nactive\n").expect(ACTIVE, "active\nactive\n")
    assert go(run, tmp_path, boot="3") == 1505


def test_a_daemon_that_failed_is_named_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ScriptedRun()
    run.expect(ACTIVE, "failed\ninactive\n", 3).expect(BOND_PING).expect(UPLINK_PING)
    run.expect(START).expect(ACTIVE, "failed\ninactive\n", 3).expect(ACTIVE, "active\nactive\n")
    go(run, tmp_path)
    assert "corosync.service failed; next: journalctl" in capsys.readouterr().out


def lay_node(root: Path) -> None:
    for folder in ("etc/ksbuild", "proc/sys/kernel/random", "run", "var/lib/ksbuild"):
        (root / folder).mkdir(parents=True)
    (root / "etc/ksbuild/node.json").write_text(to_json(an_identity()))
    (root / "proc/sys/kernel/random/boot_id").write_text("b\n")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay_node(tmp_path)
    assert main(["--root", str(tmp_path), "gate"]) == REFUSED
    assert "not complete" in capsys.readouterr().err
    latches.set_once(tmp_path, latches.COMPLETE, "")
    gate.begin(tmp_path, "b", NOW)
    assert main(["--root", str(tmp_path), "gate", "--stopped"]) == OK
    assert not gate.begin(tmp_path, "c", NOW)[-1].unclean
