"""What cannot be written stops nothing else: not who wrote at that moment, no job for ever."""

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from builder.serve import changes
from builder.serve.changes import again_and_again
from builder.serve.events import Event
from builder.serve.store import Key, Store
from builder.serve.writer import Writer

KEY = Key("pair", "a")


def full(_: Store) -> None:
    raise sqlite3.OperationalError("database or disk is full")


async def together(writer: Writer) -> Sequence[object]:
    """One that cannot be done among others, all waiting at the same time."""
    stages = ("disk", "packages", "installed")
    hold = asyncio.get_running_loop().run_in_executor(None, lambda: None)
    events = [Event(stage, "done") for stage in stages]
    jobs = [writer.do(partial(Store.hear, key=KEY, event=event, now=1.0)) for event in events]
    answers = asyncio.gather(*jobs[:2], writer.do(full), jobs[2], return_exceptions=True)
    await hold
    return await answers


def test_one_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    writer = Writer(Store(tmp_path / "state"))
    for _ in range(20):
        *others, last = asyncio.run(together(writer))
        assert [type(each) for each in (*others, last)] == [
            type(None), type(None), sqlite3.OperationalError, type(None)
        ]  # fmt: skip
    writer.close()
    assert set(Store(tmp_path / "state").stages("pair")["a"]) == {"disk", "packages", "installed"}


def test_a_job_begins_anew_where_the_state_failed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "AGAIN_S", 0.01)
    ends = iter([sqlite3.OperationalError("disk is full"), sqlite3.OperationalError("locked")])
    said: list[str] = []

    async def job() -> None:
        raise next(ends, EOFError("the third time"))

    with pytest.raises(EOFError):
        asyncio.run(again_and_again(job, said.append))
    assert ["disk is full" in said[0], "locked" in said[1], len(said)] == [True, True, 2]
