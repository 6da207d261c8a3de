"""What real dnf says to `ksnode update`: a node's packages seen, downloaded, and then renewed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from firstboot import commands, latches, updating
from firstboot.commands import Result
from firstboot.updating import RESTART, Record
from firstboot.verbs.update import go_on
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_cluster_steps import no_sleep
from tests.firstboot.test_poweroff import WHOLE, without
from tests.firstboot.test_update import NEW, RUNNING, SYNCED
from tests.packages.rpms import Rpm, repository, run

CONFIGURATION = """[main]
reposdir=/nonexistent
gpgcheck=0
cachedir={work}/cache
persistdir={work}/persist
logdir={work}
[updates]
name=updates
baseurl=file://{work}/updates
"""


@dataclass
class Node:
    """dnf is the real one, on a root of its own; the rest of the machine is played."""

    work: Path
    out: bool = False

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del stdin
        words = list(argv)
        if words[0] == "dnf":
            apart = ["-c", f"{self.work}/dnf.conf", f"--installroot={self.work}/root"]
            return commands.run(["dnf", *apart, *words[1:]], ok=ok, timeout_s=timeout_s)
        self.out |= words[0] == "crm_standby"
        answers = {
            "crm_mon": without(WHOLE, "justinian") if self.out else WHOLE,
            "drbdsetup": SYNCED,
            "grubby": f"/boot/vmlinuz-{NEW}",
            "modinfo": "9.2.12",
        }
        return Result(tuple(words), 0, answers.get(words[0], ""), "")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """An older package is installed, a newer one is in the repository."""
    old = repository(tmp_path / "old", [Rpm("tool", "1.0-1")])
    repository(tmp_path / "updates", [Rpm("tool", "1.1-1")])
    (tmp_path / "dnf.conf").write_text(CONFIGURATION.format(work=tmp_path))
    run("rpm", "--root", tmp_path / "root", "--install", "--nodeps", *old.glob("*.rpm"))
    machine = tmp_path / "machine"
    (machine / "proc/sys/kernel/random").mkdir(parents=True)
    (machine / "proc/sys/kernel/random/boot_id").write_text("boot-1")
    (machine / "proc/sys/kernel/osrelease").write_text(RUNNING)
    (machine / "proc/mounts").write_text("")
    (machine / "proc/drbd").write_text("version: 9.2.12")
    latches.set_once(machine, latches.COMPLETE, "")
    return Node(tmp_path)


def installed(node: Node) -> str:
    return run("rpm", "--root", node.work / "root", "-qa")


def test_packages_are_seen_then_renewed(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    machine = node.work / "machine"
    go_on(an_identity(), machine, node, dry_run=True)
    assert "ksnode: to be renewed: tool.noarch\n" in capsys.readouterr().out
    assert installed(node) == "tool-1.0-1.noarch\n"
    assert not node.out
    go_on(an_identity(), machine, node, sleep=no_sleep)
    assert installed(node) == "tool-1.1-1.noarch\n"
    assert updating.load(machine) == Record(RESTART, "boot-1")
    assert node.out


def test_what_is_not_to_be_had_moves_nothing(node: Node) -> None:
    for rpm in (node.work / "updates").glob("*.rpm"):
        rpm.unlink()
    with pytest.raises(commands.CommandError, match="downloadonly"):
        go_on(an_identity(), node.work / "machine", node, sleep=no_sleep)
    assert not node.out
    assert installed(node) == "tool-1.0-1.noarch\n"
