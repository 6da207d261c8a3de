"""Units and pools as the programs print them; a converged node is only looked at.

tests/guests runs both steps against real systemd, libvirt and QEMU.
"""

import os
from pathlib import Path

import pytest

from firstboot import files, units, virsh
from firstboot.engine import Refused, Step
from firstboot.render import ksm, libvirt
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.guests import SOCKETS, SUSPENDER, Guests
from firstboot.steps.memory import Memory
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_steps import lay

RECORDED = Path(__file__).parent / "recorded"
SHOW = "systemctl show --property=Id,UnitFileState,ActiveState,ConditionResult,"
SHOW += "ConditionTimestampMonotonic "
VIRSH = "virsh --quiet --connect qemu:///system "
INFO = "Name:           vmdata\nState:          running\nAutostart:      yes\n"
UP, DOWN = ("active", "enabled"), ("inactive", "disabled")


def shown(state: tuple[str, str], *names: str) -> str:
    """What systemctl prints of units in that state."""
    return "\n".join(
        f"Id={name}\nActiveState={state[0]}\nUnitFileState={state[1]}\n"
        "ConditionResult=yes\nConditionTimestampMonotonic=1\n"
        for name in names
    )


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def context(tmp_path: Path, run: ScriptedRun, told: Told) -> Context:
    identity = an_identity()
    (tmp_path / "etc/ksbuild/pair").mkdir(parents=True)
    (tmp_path / "etc/group").write_text(f"root:x:0:\nqemu:x:{os.getgid()}:\n")
    for name in {credential.name for credential in libvirt.CREDENTIALS}:
        (tmp_path / "etc/ksbuild/pair" / name).write_text(f"the pair's {name}\n")
    return Context(identity, tmp_path, run, told, Meeting(identity, tmp_path, "boot"))


def test_units_as_systemd_shows_them() -> None:
    assert units.parse((RECORDED / "systemctl-show-252").read_text()) == {
        "run.service": units.Unit(enabled=True, active=True, held_back=False),
        "cond.service": units.Unit(enabled=True, active=False, held_back=True),
        "none.service": units.Unit(enabled=False, active=False, held_back=False),
    }


def test_a_pool_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="not a storage pool's XML"):
        virsh.parse(INFO, "error: no connection")


def test_a_tuned_node_is_only_looked_at(context: Context, run: ScriptedRun) -> None:
    files.write(context.root, ksm.render(context.identity))
    step: Step = Memory(context)
    run.expect(SHOW + " ".join(ksm.UNITS), shown(UP, *ksm.UNITS))
    assert not step.check()
    run.assert_finished()


@pytest.mark.root
def test_a_node_ready_for_guests_is_only_looked_at(context: Context, run: ScriptedRun) -> None:
    step = Guests(context)
    lay(context.root, "proc/mounts", "proc /proc proc rw 0 0")
    files.write(context.root, libvirt.render(context.identity))
    for credential in libvirt.CREDENTIALS:
        step._copy(credential)
    run.expect(SHOW + " ".join(SOCKETS), shown(UP, *SOCKETS))
    run.expect(SHOW + SUSPENDER, shown(DOWN, SUSPENDER))
    run.expect(VIRSH + "pool-info vmdata", INFO)
    pool = files.below(context.root, libvirt.render(context.identity)[-1]).read_text()
    run.expect(VIRSH + "pool-dumpxml vmdata", pool)
    assert not step.check()
    run.assert_finished()


def test_everything_that_is_missing_is_named(context: Context, run: ScriptedRun) -> None:
    run.expect(SHOW + " ".join(SOCKETS), shown(DOWN, *SOCKETS))
    missing = Guests(context).check()
    assert "/etc/libvirt/qemu.conf is not as planned" in missing
    assert "/etc/pki/qemu/server-key.pem is not the pair's guests.key" in missing
    assert "virtproxyd-tls.socket is not enabled" in missing


def test_no_key_is_given_to_a_group_that_is_not_there(context: Context) -> None:
    (context.root / "etc/group").write_text("root:x:0:\n")
    for credential in libvirt.CREDENTIALS:
        target = context.root / credential.path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"the pair's {credential.name}\n")
    with pytest.raises(Refused, match="there is no group qemu"):
        Guests(context).check()
