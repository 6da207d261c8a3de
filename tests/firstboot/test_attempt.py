"""What every attempt to converge begins with."""

import os
from pathlib import Path

import pytest

from firstboot.engine import Step
from firstboot.steps import Context
from firstboot.verbs import converging
from tests.firstboot.conftest import an_identity


def test_what_a_killed_agent_left_unsynced_is_kept_before_it_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the machine of tests/pair: else a power cut takes back what the peer was told."""
    happened: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: happened.append("sync"))

    def steps(_: Context) -> tuple[Step, ...]:
        happened.append("steps")
        return ()

    monkeypatch.setattr(converging, "steps", steps)
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("boot\n")
    assert converging._attempt(*converging.a_context(an_identity(), tmp_path)) == 0
    assert happened == ["sync", "steps", "sync"]  # the last one before it says "complete"
