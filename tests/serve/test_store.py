"""The state: what it takes, what it refuses, and what it never holds."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from builder.serve.events import Event
from builder.serve.store import Key, Store, StoreError

KEY = Key("pair", "a")


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(tmp_path / "state")
        with store.transaction():
            store.allow_once(KEY, "digest", 1.0)
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    finally:
        os.umask(before)
    store.close()
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_what_is_no_state(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(path)
    assert path.read_bytes() == content


def test_another_versions_state(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state") as other:
        other.execute("PRAGMA user_version=7")
    with pytest.raises(StoreError, match="another version"):
        Store(tmp_path / "state")


def test_one_that_is_not_there_is_not_made_to_look_into(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not there"):
        Store(tmp_path / "state", make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")

    def half() -> None:
        with store.transaction():
            store.say(KEY, Event("host", "ok"), 1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert store.stages("pair") == {}


def test_a_new_installation_begins_with_a_clean_page(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    for stage in ("kickstart", "disk", "mounted", "result"):
        store.hear(KEY, Event(stage, "failed", "x"), 1.0)
    store.hear(Key("pair", "b"), Event("disk", "done"), 1.0)
    store.hear(KEY, Event("installer", "started"), 2.0)
    said = store.stages("pair")
    assert sorted(said["a"]) == ["installer", "kickstart"]
    assert sorted(said["b"]) == ["disk"]


def test_how_long_it_took_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.hear(KEY, Event("disk", "started"), 10.0)
    store.hear(KEY, Event("disk", "done"), 25.0)
    assert (store.stages("pair")["a"]["disk"].began, store.stages("pair")["a"]["disk"].since) == (
        10.0,
        25.0,
    )


def whats(store: Store) -> list[str]:
    return [notice.body for notice in store.notices()]


def test_a_failure_is_noted_once_until_it_is_mended(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    for event in ("failed", "missing", "failed", "waiting", "failed"):
        store.hear(KEY, Event("uplink", event, "x"), 1.0)
    assert len(whats(store)) == 1
    store.hear(KEY, Event("uplink", "ok"), 1.0)
    store.hear(KEY, Event("uplink", "refused", "y"), 1.0)
    assert len(whats(store)) == 2
    for _ in range(3):
        store.hear(KEY, Event("result", "complete"), 1.0)
    assert ['"what": "finished"' in body for body in whats(store)] == [False, False, True]
    store.told(store.notices()[0].id)
    assert len(whats(store)) == 2


def test_notices_that_nobody_takes_do_not_pile_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    with store.transaction():
        for n in range(1100):
            store.hear(Key("pair", f"n{n}"), Event("disk", "failed"), 1.0)
    (count,) = store._db.execute("SELECT COUNT(*) FROM notice").fetchone()
    assert count == 1000


@pytest.mark.parametrize("stage", ["first-boot", "uplink", "result"])
def test_a_lost_call_is_made_good_by_what_only_an_installed_node_says(
    tmp_path: Path, stage: str
) -> None:
    """Before its kickstart went out it is the older installation that speaks."""
    store = Store(tmp_path / "state")
    store.allow_once(KEY, "token", 1e9)
    store.hear(KEY, Event(stage, "done"), 1.0)
    assert not installed(store)
    assert store.fetch(KEY, 2.0, 60.0, "again") == ""
    store.hear(KEY, Event("disk", "done"), 3.0)
    assert not installed(store)
    assert store.fetch(KEY, 99.0, 60.0, "again") != ""
    assert store.stages("pair")["a"]["kickstart"].event == "refused"
    store.hear(KEY, Event(stage, "started"), 100.0)
    assert installed(store) == 100.0
    assert "kickstart" not in store.stages("pair")["a"], "what did not stop it after all"
    assert store.fetch(KEY, 101.0, 60.0, "again") == "it is installed"
    assert "kickstart" not in store.stages("pair")["a"]


def installed(store: Store) -> float | None:
    known = store.allowance(KEY)
    assert known is not None
    return known.installed
