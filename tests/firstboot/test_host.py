"""The host step: who is told what, once, and again after a crash."""

import shutil
from pathlib import Path

import pytest

from firstboot.commands import CommandError
from firstboot.engine import Step
from firstboot.render import selinux
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.host import Host
from tests.firstboot.conftest import ScriptedRun, Told, an_identity

SYSCTL = "/usr/lib/systemd/systemd-sysctl /etc/sysctl.d/90-ksbuild.conf"
SEMANAGE = "semanage import -f /etc/ksbuild/fcontext"
IN_EFFECT = {
    "vm/dirty_bytes": "268435456",
    "vm/dirty_background_bytes": "67108864",
    "net/ipv4/tcp_reordering": "127",
}


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def context(tmp_path: Path, run: ScriptedRun, told: Told) -> Context:
    identity = an_identity()
    for name in IN_EFFECT:
        lay(tmp_path / "proc/sys" / name, "0")
    return Context(identity, tmp_path, run, told, Meeting(identity, tmp_path, "boot"))


def lay(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def have_effect(root: Path) -> None:
    """What the programs told would have done."""
    for name, value in IN_EFFECT.items():
        lay(root / "proc/sys" / name, value)
    label = "/srv/vmdata(/.*)?    system_u:object_r:virt_image_t:s0"
    lay(root / selinux.MODULES.replace("*", "targeted", 1).replace("*", "400") / "cil", "")
    lay(root / "etc/selinux/targeted/contexts/files/file_contexts.local", f"# made\n\n{label}")


def all_told(run: ScriptedRun) -> None:
    run.expect(SYSCTL).expect("udevadm control --reload")
    run.expect("systemctl --no-block try-restart chronyd.service", returncode=5)
    run.expect("systemctl --no-block try-reload-or-restart sshd.service").expect(SEMANAGE)


def test_from_nothing(context: Context, run: ScriptedRun) -> None:
    step: Step = Host(context)
    missing = step.check()
    assert "/etc/hosts is not as planned" in missing
    assert "vm.dirty_bytes is 0, not 268435456" in missing
    assert missing[-1] == "SELinux confines drbd_t, in which DRBD can't run"
    all_told(run)
    step.apply()
    have_effect(context.root)
    assert not Host(context).check()
    run.assert_finished()


def test_a_program_is_told_after_a_crash(context: Context, run: ScriptedRun) -> None:
    run.expect(SYSCTL).expect("udevadm control --reload")
    run.expect("systemctl --no-block try-restart chronyd.service", returncode=1)
    with pytest.raises(CommandError):
        Host(context).apply()
    have_effect(context.root)
    assert Host(context).check() == [
        "chronyd has not read its files yet",
        "sshd has not read its files yet",
    ]
    run.expect("systemctl --no-block try-restart chronyd.service")
    run.expect("systemctl --no-block try-reload-or-restart sshd.service")
    Host(context).apply()
    assert not Host(context).check()
    run.assert_finished()


def test_only_what_drifted_is_mended(context: Context, run: ScriptedRun) -> None:
    all_told(run)
    Host(context).apply()
    have_effect(context.root)
    lay(context.root / "proc/sys/vm/dirty_bytes", "0")
    assert Host(context).check() == ["vm.dirty_bytes is 0, not 268435456"]
    run.expect(SYSCTL)
    Host(context).apply()
    run.assert_finished()


def test_another_label_is_not_ours(context: Context, run: ScriptedRun) -> None:
    all_told(run)
    Host(context).apply()
    have_effect(context.root)
    rules = context.root / "etc/selinux/targeted/contexts/files/file_contexts.local"
    rules.write_text(rules.read_text().replace("virt_image_t", "var_t"))
    assert Host(context).check() == ["SELinux has no label for /srv/vmdata(/.*)?"]
    (word,) = context.root.glob(selinux.MODULES)
    shutil.rmtree(word)
    assert Host(context).check() == ["SELinux confines drbd_t, in which DRBD can't run"]
