"""The verification: both nodes as threads on one folder, real locks, real writes."""

import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest

from firstboot.commands import Result
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting, State
from firstboot.steps import Context
from firstboot.steps.verification import REPORT, SUMMARY, Verification
from firstboot.verification import locks
from tests.firstboot.conftest import Told, an_identity
from tests.firstboot.test_steps import lay

# corosync-cfgtool 3.1.7 -s, of two nodes in User-mode Linux.
LINKS = """\
Local node ID 1, transport knet
LINK ID 0 udp
	addr	= 192.168.40.1
	status:
		nodeid:          1:	localhost
		nodeid:          2:	connected
LINK ID 1 udp
	addr	= 10.9.0.1
	status:
		nodeid:          1:	localhost
		nodeid:          2:	disconnected
"""
UP = LINKS.replace("disconnected", "connected")


class Linked(Meeting):
    """A meeting whose peer is in the same process; what it tells arrives as JSON."""

    others: "dict[str, Linked]"

    def __init__(self, identity: Identity, root: Path, both: "dict[str, Linked]") -> None:
        super().__init__(identity, root, "boot")
        self.others = both
        both[identity.node] = self

    def ask(self) -> State:
        other = self.others.get(self._identity.peer.name)
        told = json.loads(json.dumps(other._told)) if other else {}
        reached = frozenset(other._reached) if other else frozenset()
        self._peer = State("b", (), reached, told)
        return self._peer


def answer(argv: Any, **_: Any) -> Result:
    text = LINKS if argv[0] == "corosync-cfgtool" else ""
    return Result(tuple(argv), 0, text, "")


def step(
    tmp_path: Path,
    node: str,
    both: "dict[str, Linked]",
    run: Callable[..., Result] = answer,
    settle_s: float = 0.0,
) -> Verification:
    root = tmp_path / node
    identity = an_identity(node, platform="debian12-lab")
    shared = tmp_path / "shared"
    shared.mkdir(exist_ok=True)
    (root / "srv").mkdir(parents=True, exist_ok=True)
    if not (root / "srv/vmdata").exists():
        (root / "srv/vmdata").symlink_to(shared)
    lay(root, "proc/mounts", "/dev/drbd0 /srv/vmdata gfs2 rw,noatime 0 0")
    context = Context(identity, root, run, Told(), Linked(identity, root, both))
    return Verification(context, seconds=0.3, most_mib=4, settle_s=settle_s)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstboot.steps.meet.FIRST_WAIT_S", 0.01)


def both_at_once(*applies: Callable[[], None]) -> "list[Optional[BaseException]]":
    """Run each in a thread to its end; what each died of."""
    died: list[Optional[BaseException]] = [None] * len(applies)

    def run(number: int) -> None:
        try:
            applies[number]()
        except BaseException as error:  # noqa: BLE001 - also SystemExit is an end
            died[number] = error

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(applies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other for ever"
    return died


class Ring:
    """fcntl's locks as two nodes have them: within one process the real ones exclude nobody."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}
        self._changed = threading.Condition()

    def lockf(self, handle: int, what: int, length: int = 0, place: int = 0) -> None:
        """Lock or unlock one byte, or all of a handle's."""
        with self._changed:
            if what == fcntl.LOCK_UN:
                places = [place] if length else range(locks.RING)
                for one in places:
                    if self._owners.get(one) == handle:
                        del self._owners[one]
                self._changed.notify_all()
            else:
                assert self._changed.wait_for(lambda: place not in self._owners, 10)
                self._owners[place] = handle


# What stands under each node's name in report.json, for whoever reads it by program.
MEASURED = {
    *("locks", "locks_s", "write_mib_s", "read_mib_s"),
    *("small_writes", "small_p99_ms", "small_longest_ms"),
}
STATE = {
    *("mount_options", "crypto.cipher", "crypto.hash", "drbd_hmac", "links.0", "links.1", "ports"),
    *("ksm_saved_mib", "denials", "warnings"),
}
KEYS = {f"alone.{key}" for key in MEASURED} | {f"both.{key}" for key in MEASURED}
KEYS |= {"both.cables"} | {f"state.{key}" for key in STATE}


def paths(of: Any) -> "set[str]":
    """Every key of nested objects, the way to it included."""
    found: set[str] = set()
    for key, value in of.items():
        deeper = paths(value) if isinstance(value, dict) else set()
        found |= {f"{key}.{more}" for more in deeper} or {key}
    return found


def test_both_write_the_same_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "lockf", Ring().lockf)
    both: dict[str, Linked] = {}
    steps = [step(tmp_path, node, both) for node in ("justinian", "julius")]
    assert [s.check() for s in steps] == [["the pair was not measured yet"]] * 2
    assert both_at_once(*(s.apply for s in steps)) == [None, None]
    assert not any(s.check() for s in steps)
    texts = [(tmp_path / node / REPORT).read_text() for node in ("justinian", "julius")]
    assert texts[0] == texts[1]
    report = json.loads(texts[0])
    for node in ("justinian", "julius"):
        assert report[node]["state"]["links"] == {"0": True, "1": False}
        assert report[node]["state"]["mount_options"] == "rw,noatime"
        assert "without nodiratime" in report[node]["state"]["warnings"][0]
        assert "link on the uplink is down" in " ".join(report[node]["state"]["warnings"])
        assert report[node]["alone"]["small_writes"] > 0
        assert report[node]["both"]["write_mib_s"] > 0
        assert paths(report[node]) == KEYS
    assert not list((tmp_path / "shared").iterdir()), "nothing is left behind"
    shown = (tmp_path / "julius" / SUMMARY).read_text()
    assert max(map(len, shown.splitlines())) <= 80
    assert "1959" in shown
    assert shown.count("WARNING: /srv/vmdata is mounted without nodiratime") == 2
    for each in steps:
        assert "julius: the cluster's link on the uplink is down" in each.remark()


def test_a_link_that_our_own_load_took_down_is_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "lockf", Ring().lockf)
    both: dict[str, Linked] = {}
    looked = []

    def late(argv: Any, **_: Any) -> Result:
        if argv[0] != "corosync-cfgtool":
            return answer(argv)
        looked.append(argv)
        return Result(tuple(argv), 0, LINKS if len(looked) < 3 else UP, "")

    first, second = step(tmp_path, "justinian", both, late, 10), step(tmp_path, "julius", both)
    assert both_at_once(first.apply, second.apply) == [None, None]
    assert not first.check()
    assert len(looked) == 3
    assert "justinian: the cluster's link" not in first.remark()
    assert "julius: the cluster's link on the uplink is down" in first.remark()


def test_one_that_lost_its_report_takes_the_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "lockf", Ring().lockf)
    both: dict[str, Linked] = {}
    steps = [step(tmp_path, node, both) for node in ("justinian", "julius")]
    both_at_once(*(s.apply for s in steps))
    for lost, kept in (("justinian", "julius"), ("julius", "justinian")):
        before = (tmp_path / lost / REPORT).read_bytes()
        (tmp_path / lost / REPORT).unlink()
        again, other = step(tmp_path, lost, both), step(tmp_path, kept, both)
        assert not other.check()
        assert again.check()
        assert both_at_once(again.apply) == [None]
        assert (tmp_path / lost / REPORT).read_bytes() == before


def test_the_second_may_start_anew_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while locking together, the count is wrong once, and right the next time."""
    ring = Ring()
    monkeypatch.setattr(fcntl, "lockf", ring.lockf)
    both: dict[str, Linked] = {}
    first, second = (step(tmp_path, node, both) for node in ("justinian", "julius"))
    cut = threading.Event()
    together = second._together

    def killed() -> "dict[str, Any]":
        together()  # counted, and nobody will ever know
        cut.set()
        raise SystemExit

    monkeypatch.setattr(second, "_together", killed)

    def anew() -> None:
        assert cut.wait(30)
        step(tmp_path, "julius", both).apply()

    died = both_at_once(first.apply, second.apply, anew)
    assert isinstance(died[1], SystemExit)
    assert (died[0], died[2]) == (None, None)
    assert (tmp_path / "julius" / REPORT).read_text() == (
        tmp_path / "justinian" / REPORT
    ).read_text()


def test_locks_that_do_not_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does either see what was counted: two threads without locks may take turns by chance."""
    monkeypatch.setattr(fcntl, "lockf", lambda *_: None)
    monkeypatch.setattr(os, "pread", lambda *_: bytes(8))
    both: dict[str, Linked] = {}
    first, second = (step(tmp_path, node, both) for node in ("justinian", "julius"))
    over, asking = threading.Event(), second._context.meeting.ask
    ends = lambda: sys.exit() if over.is_set() else asking()  # noqa: E731
    monkeypatch.setattr(second._context.meeting, "ask", ends)

    def refused() -> None:
        try:
            first.apply()
        finally:
            over.set()

    died, _ = both_at_once(refused, second.apply)
    assert isinstance(died, Refused)
    assert "locks do not hold" in died.evidence
    assert not (tmp_path / "justinian" / REPORT).exists()
