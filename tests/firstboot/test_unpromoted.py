"""While half of a split brain gives way: real crm_resource on a CIB file, and pacemaker's answer.

DRBD goes on running there, unpromoted and unmounted, and pacemaker does nothing else to it.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

from firstboot import pacemaker, promotion
from firstboot.commands import Result
from firstboot.render import cib
from firstboot.splitbrain.table import objection
from tests.firstboot.clusterlab import UP_TO_DATE, online, simulate
from tests.firstboot.conftest import ONE_PYTHON, a_pair
from tests.firstboot.test_splitbrain import half

pytestmark = ONE_PYTHON


class OnFile:
    """A door for programs that finds the cluster in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: "tuple[int, ...]" = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del stdin, ok, timeout_s
        environment = {**os.environ, "CIB_file": str(self.file)}
        done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)


@pytest.fixture
def up(tmp_path: Path) -> OnFile:
    """Both mounted."""
    _, text = simulate(online(cib.text(a_pair()), (UP_TO_DATE, UP_TO_DATE)), tmp_path)
    file = tmp_path / "live.xml"
    file.write_text(text)
    return OnFile(file)


def changes(actions: "list[str]") -> "list[str]":
    """What is done to resources, without looking and telling."""
    quiet = ("notify", "monitor", "cancel=")
    return [action for action in actions if not any(word in action for word in quiet)]


def test_it_is_unmounted_and_demoted_and_goes_on_running(up: OnFile, tmp_path: Path) -> None:
    for _ in range(2):
        promotion.keep_unpromoted(up, "julius")
    actions, after = simulate(up.file.read_text(), tmp_path)
    assert changes(actions) == ["ks-vmdata stop on julius", "ks-drbd demote on julius"]
    up.file.write_text(after)
    assert changes(simulate(after, tmp_path)[0]) == [], "it rests then"
    for _ in range(2):
        promotion.let_promote(up, "julius")
    actions, _ = simulate(up.file.read_text(), tmp_path)
    assert changes(actions) == ["ks-drbd promote on julius", "ks-vmdata start on julius"]
    assert pacemaker.drift(cib.text(a_pair()), up.file.read_text()) == []


def test_what_the_refusal_names_is_what_is_done(up: OnFile) -> None:
    """A human may have typed it already; it is the same constraint."""
    refusal = objection(half("julius", mounted=True, role="Primary"), half())
    assert refusal
    up(refusal.way_out.partition(";")[0].split())
    typed = up.file.read_text().count("cli-ban")
    promotion.keep_unpromoted(up, "julius")
    assert up.file.read_text().count("cli-ban") == typed > 0
    promotion.let_promote(up, "julius")
    assert "cli-ban" not in up.file.read_text()
