"""What pacemaker said, read; and what its own tools make of our configuration."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

from firstboot import pacemaker
from firstboot.commands import CommandError, Result
from firstboot.pacemaker import Cluster
from firstboot.render import cib
from tests.firstboot.conftest import ScriptedRun, a_pair

RECORDED = Path(__file__).parent / "pacemaker"
LOOK = "crm_mon --one-shot --output-as=xml"
NODES = ("justinian", "julius")


def recorded(name: str) -> str:
    """One of crm_mon's answers; the file SOURCE says whence they are."""
    return (RECORDED / f"crm_mon-{name}.xml").read_text()


def test_while_it_starts_nobody_is_online() -> None:
    state = pacemaker.parse(recorded("joining"))
    nothing: frozenset[str] = frozenset()
    assert state == Cluster(False, nothing, frozenset(NODES), frozenset(), frozenset(), nothing, ())


def test_both_online_and_nothing_configured() -> None:
    state = pacemaker.parse(recorded("online"))
    nothing: frozenset[str] = frozenset()
    assert state == Cluster(True, frozenset(NODES), nothing, frozenset(), frozenset(), nothing, ())


def test_fence_devices_that_do_not_start() -> None:
    state = pacemaker.parse(recorded("unfenced"))
    assert not state.active
    assert not state.watched
    assert state.failures == (
        "ks-fence-justinian-1_start_0 on julius: error",
        "ks-fence-julius-1_start_0 on justinian: error",
    )


def test_fence_devices_started_and_watched_while_the_rest_is_held_back() -> None:
    state = pacemaker.parse(recorded("fenced"))
    devices = {("ks-fence-justinian-1", "julius"), ("ks-fence-julius-1", "justinian")}
    assert state.active == {(device, node, "Started") for device, node in devices}
    assert state.watched >= devices
    assert state.stopped == set(cib.CLONES)


def test_everything_runs() -> None:
    state = pacemaker.parse(recorded("mounted"))
    for node in NODES:
        assert state.runs(cib.DRBD, node, "Promoted")
        assert state.runs(cib.DLM, node)
        assert state.runs(cib.MOUNT, node)
        assert (cib.DRBD, node) in state.watched
    assert not state.stopped
    assert not state.failures


def test_no_cluster_is_an_answer_and_any_other_fault_is_not() -> None:
    for code in (102, 127):
        assert pacemaker.status(ScriptedRun().expect(LOOK, "", code)) is None
    with pytest.raises(CommandError):
        pacemaker.status(ScriptedRun().expect(LOOK, "", 1))
    with pytest.raises(ValueError, match="not pacemaker's XML"):
        pacemaker.status(ScriptedRun().expect(LOOK, "crm_mon: what?"))


class OnFile:
    """Runs pacemaker's own tools on a CIB in a file, as they do with CIB_file (cibadmin(8))."""

    def __init__(self, folder: Path) -> None:
        self.file, self.planned = folder / "live.xml", folder / "cib.xml"
        empty = subprocess.run(["cibadmin", "--empty"], capture_output=True, text=True, check=True)
        self.file.write_text(empty.stdout)
        self.planned.write_text(cib.text(a_pair()))

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del stdin, timeout_s
        done = subprocess.run(
            [str(self.planned) if word == str(cib.PATH) else word for word in argv],
            env={**os.environ, "CIB_file": str(self.file)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        result = Result(tuple(argv), done.returncode, done.stdout, done.stderr)
        if done.returncode not in ok:
            raise CommandError(result)
        return result

    def drift(self) -> list[str]:
        return pacemaker.drift(cib.text(a_pair()), pacemaker.configuration(self))

    def tool(self, command: str) -> None:
        self(command.split())


@pytest.fixture
def loaded(tmp_path: Path) -> OnFile:
    run = OnFile(tmp_path)
    pacemaker.load(run)
    return run


def test_a_configuration_is_loaded_into_a_blank_cluster(tmp_path: Path) -> None:
    run = OnFile(tmp_path)
    run.tool("crm_attribute --name cluster-name --update 00014")  # pacemaker's own doing
    assert pacemaker.is_blank(pacemaker.configuration(run))
    assert len(run.drift()) > 80
    pacemaker.load(run)
    assert not pacemaker.is_blank(pacemaker.configuration(run))
    assert not run.drift()
    assert 'name="cluster-name"' in pacemaker.configuration(run)


def test_it_is_taken_by_a_cluster_of_an_older_feature_set(tmp_path: Path) -> None:
    run = OnFile(tmp_path)
    old = re.sub('crm_feature_set="[^"]*"', 'crm_feature_set="3.0.14"', run.file.read_text())
    run.file.write_text(old)
    pacemaker.load(run)
    assert not run.drift()


def test_releasing_takes_away_the_target_role_alone(loaded: OnFile) -> None:
    for clone in cib.CLONES:
        assert f"{clone}-meta_attributes-target-role" in loaded.file.read_text()
        pacemaker.release(loaded, clone)
        pacemaker.release(loaded, clone)  # after a crash it may be asked for again
    assert "target-role" not in loaded.file.read_text()
    assert not loaded.drift()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            "crm_resource --resource ks-vmdata --set-parameter options --parameter-value noatime",
            ["ks-vmdata-instance_attributes-options: value is noatime, planned noatime,nodiratime"],
        ),
        (
            "crm_attribute --name stonith-enabled --update false --set-name cib-bootstrap-options",
            ["cib-bootstrap-options-stonith-enabled says false, planned true"],
        ),
        (
            "cibadmin --delete --xpath //rsc_order[@id='ks-dlm-then-vmdata']",
            ["ks-dlm-then-vmdata is missing from the CIB"],
        ),
        (
            "crm_resource --resource ks-dlm-clone --meta --set-parameter is-managed"
            " --parameter-value false",
            ["ks-dlm-clone-meta_attributes-is-managed is in the CIB and not in the plan"],
        ),
    ],
)
def test_what_people_change_in_ours_is_told(loaded: OnFile, command: str, told: list[str]) -> None:
    loaded.tool(command)
    assert loaded.drift() == told


@pytest.mark.parametrize(
    "command",
    [
        "crm_resource --resource ks-vmdata-clone --meta --set-parameter target-role"
        " --parameter-value Started",
        "crm_resource --resource ks-vmdata-clone --ban --node julius",
        "cibadmin --create --scope constraints --xml-text <rsc_location"
        ' id="drbd-fence-by-handler-vmdata-ks-drbd-clone" rsc="ks-drbd-clone" node="julius"'
        ' role="Promoted" score="-INFINITY"/>',
        "cibadmin --create --scope resources --xml-text"
        ' <primitive id="vm1" class="ocf" provider="heartbeat" type="VirtualDomain"/>',
    ],
)
def test_what_is_not_ours_is_not_looked_at(loaded: OnFile, command: str) -> None:
    head, tag, xml = command.partition("<")
    before = loaded.file.read_text()
    loaded([*head.split(), *([tag + xml] if xml else [])])
    assert loaded.file.read_text() != before
    assert not loaded.drift()


def test_failed_units_are_named_with_the_next_command() -> None:
    ask = "systemctl is-active corosync.service pacemaker.service"
    run = ScriptedRun().expect(ask, "failed\ninactive\n", 3).expect(ask, "active\nactive\n")
    assert pacemaker.broken_units(run) == [
        "corosync.service failed; next: journalctl --boot --unit corosync.service"
    ]
    assert pacemaker.units_active(run)
