"""Whose data may be used when nobody knows, or two have some: DRBD's handlers, real, and pacemaker.

drbd-utils' handler scripts run on a CIB in a file; DRBD itself is in the lab's drills.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from firstboot import pacemaker, promotion
from firstboot.render import cib, drbd
from tests.firstboot.clusterlab import UP_TO_DATE, online, simulate
from tests.firstboot.conftest import ONE_PYTHON, a_pair, an_identity
from tests.firstboot.test_unpromoted import OnFile, changes

pytestmark = ONE_PYTHON

FENCED = 4  # "peer has been successfully fenced" (crm-fence-peer.sh)
ALONE = Path(__file__).parent / "recorded/assumed-drbdsetup-events2-9"
SCRIPTS = {"debian12-lab": "crm-fence-peer.sh", "el9": "crm-fence-peer.9.sh"}
FOUND = re.compile(r'split-brain "(.*)";')


@pytest.fixture
def up(tmp_path: Path) -> OnFile:
    """Both are online and could be promoted."""
    file = tmp_path / "live.xml"
    file.write_text(online(cib.text(a_pair()), (UP_TO_DATE, UP_TO_DATE)))
    return OnFile(file)


def program(folder: Path, name: str, script: str) -> None:
    """A program that goes first in PATH."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def ask(handler: str, up: OnFile, folder: Path, platform: str) -> int:
    """The handler's exit status, called on justinian as DRBD calls it for an absent julius."""
    program(folder, "uname", "echo justinian")
    program(folder, "drbdsetup", f"exec cat {ALONE}")
    told = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CIB_file": str(up.file),
        "DRBD_RESOURCE": "vmdata",
        "DRBD_MINOR": "0",
        "DRBD_PEER": "julius",
        "DRBD_PEERS": "julius",
    }
    if platform == "el9":
        told |= {"UP_TO_DATE_NODES": "0x00000001", "DRBD_MY_NODE_ID": "0", "DRBD_VOLUME": "0"}
        told |= {"DRBD_NODE_ID_0": "justinian", "DRBD_NODE_ID_1": "julius"}
    script = [f"/usr/lib/drbd/{handler}", "--timeout", "1", "--dc-timeout", "1"]
    script += ["--lock-dir", str(folder)]
    return subprocess.run(script, env=told, capture_output=True, check=False).returncode


@pytest.mark.parametrize("platform", SCRIPTS)
def test_the_handler_takes_what_a_humans_word_placed(
    up: OnFile, tmp_path: Path, platform: str
) -> None:
    identity = an_identity("justinian", platform)
    assert ask(SCRIPTS[platform], up, tmp_path, platform) != FENCED
    promotion.call_newest(up, an_identity("julius", platform))
    promotion.keep_unpromoted(up, "justinian")
    for _ in range(2):
        promotion.call_newest(up, identity)
    assert up.file.read_text().count("<expression") == 1
    assert ask(SCRIPTS[platform], up, tmp_path, platform) == FENCED


@pytest.mark.parametrize("platform", SCRIPTS)
def test_only_that_node_is_promoted_meanwhile(up: OnFile, tmp_path: Path, platform: str) -> None:
    promotion.call_newest(up, an_identity("justinian", platform))
    actions, _ = simulate(up.file.read_text(), tmp_path)
    promoted = [action for action in changes(actions) if "promote" in action]
    assert promoted == ["ks-drbd promote on justinian"]
    assert pacemaker.drift(cib.text(a_pair()), up.file.read_text()) == []
    state = pacemaker.status(up)
    assert promotion.barred(state, "justinian") == []
    bans = promotion.barred(state, "julius")
    assert promotion.known_older(bans)
    promotion.let_promote(up, "julius")
    assert promotion.barred(pacemaker.status(up), "julius") == []


@pytest.mark.parametrize("role", ["Secondary", "Primary"])
@pytest.mark.parametrize("platform", SCRIPTS)
def test_a_half_that_is_not_in_use_is_not_promoted_in_a_split_brain(
    up: OnFile, tmp_path: Path, role: str, platform: str
) -> None:
    """The line of the resource file, run by a shell as drbdadm does."""
    program(tmp_path, "drbdadm", f'[ "$*" = "role vmdata" ] && echo {role}')
    program(tmp_path, "uname", "echo julius")
    told = tmp_path / "proc-drbd"
    told.write_text(f" 0: cs:WFReportParams ro:{role}/Unknown ds:UpToDate/Outdated C r-----\n")
    files = drbd.render(an_identity("julius", platform))
    (found,) = FOUND.findall("".join(file.text for file in files))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CIB_file": str(up.file)}
    command = ["sh", "-c", found.replace("/proc/drbd", str(told))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    actions, _ = simulate(up.file.read_text(), tmp_path)
    promoted = {action for action in changes(actions) if "promote" in action}
    both = {"ks-drbd promote on justinian", "ks-drbd promote on julius"}
    if role == "Primary":
        assert promoted == both
    else:
        assert (done.returncode, promoted) == (0, {"ks-drbd promote on justinian"}), done.stderr
    promotion.let_promote(up, "julius")
    actions, _ = simulate(up.file.read_text(), tmp_path)
    assert both <= set(changes(actions)), "a human chose"
