"""ksnode guest, as it is typed: what it does and refuses, and that it leaves nothing behind."""

import json
import re
import shlex
from pathlib import Path

import pytest

from firstboot import pacemaker
from firstboot.guest import cluster
from firstboot.verbs.guestadd import _not_started
from tests.firstboot.conftest import ONE_PYTHON, ScriptedRun
from tests.firstboot.guestlab import DOMAIN, Lab, add, lab

__all__ = ["lab"]

pytestmark = ONE_PYTHON
HOWTO = (Path(__file__).parents[2] / "docs/howto.md").read_text()


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> "list[list[str]]":
    """What a human was given to work with."""
    found: list[list[str]] = []

    def attend(argv: "list[str]") -> int:
        found.append(argv)
        return 0

    monkeypatch.setattr("firstboot.verbs.guestlist.attend", attend)
    return found


def told(lab: Lab, capsys: pytest.CaptureFixture[str]) -> "dict[str, tuple[str, str]]":
    """Name -> node and state, of list --json."""
    capsys.readouterr()
    assert lab.ksnode("list", "--json") == 0
    guests = json.loads(capsys.readouterr().out)["guests"]
    return {guest["name"]: (guest["node"], guest["state"]) for guest in guests}


def test_a_guests_life(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    before = lab.configuration()
    assert add(lab, "--size", "8M", "--prefer", "julius") == 0
    image, written = (lab.root / "srv/vmdata" / p for p in ("vm1.raw", "guests/vm1.xml"))
    assert image.stat().st_size == 8 << 20
    assert image.stat().st_blocks * 512 >= 8 << 20, "with all its blocks"
    assert {path.stat().st_mode & 0o777 for path in (image, written)} == {0o600}
    assert sorted(p.name for p in image.parent.iterdir()) == ["guests", "vm1.raw"]
    assert told(lab, capsys) == {"vm1": ("julius", "started")}
    lab.actions.clear()
    assert lab.ksnode("move", "vm1") == 0
    moved = [action for action in lab.actions if action.startswith("vm1")]
    assert [a for a in moved if "monitor" not in a] == [
        "vm1 migrate_to on julius", "vm1 migrate_from on justinian", "vm1 stop on julius",
    ]  # fmt: skip
    assert told(lab, capsys) == {"vm1": ("justinian", "started")}, "stays, against its preference"
    assert lab.ksnode("remove", "vm1", "--confirm", "vm1") == 0
    said = capsys.readouterr().out
    assert "rm /srv/vmdata/guests/vm1.xml /srv/vmdata/vm1.raw\n" in said
    assert lab.configuration() == before
    assert image.exists()
    assert lab.ksnode("add", "vm1", "--xml", str(written)) == 0, "it comes back by what was kept"
    assert image.stat().st_size == 8 << 20


def test_dry_runs_change_nothing(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def everything() -> "dict[str, bytes]":
        return {str(p): p.read_bytes() for p in lab.root.rglob("*") if p.is_file()}

    before, cib = everything(), lab.configuration()
    assert add(lab, "--size", "1M", "--dry-run") == 7
    said = capsys.readouterr().out
    for words in (
        "would be completed: vda: cache=none",
        "would run: qemu-img create -q -f raw -o preallocation=falloc /srv/vmdata/vm1.raw 1M",
        "would write: /srv/vmdata/guests/vm1.xml (0600)",
        '<rsc_colocation id="vm1-with-vmdata"',
    ):
        assert words in said
    assert (everything().keys() - {f"{lab.root}/run/ksnode.lock"}, lab.configuration()) == (
        before.keys() - {f"{lab.root}/run/ksnode.lock"}, cib,
    )  # fmt: skip
    assert add(lab, "--size", "1M", "--prefer", "julius") == 0
    before, cib = everything(), lab.configuration()
    assert lab.ksnode("move", "vm1", "--dry-run") == 7
    assert "vm1 would be moved live from julius to justinian" in capsys.readouterr().out
    assert lab.ksnode("remove", "vm1", "--dry-run") == 7
    assert (everything(), lab.configuration()) == (before, cib)


def test_the_manuals_commands(
    lab: Lab, attended: "list[list[str]]", capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, in the manual's order, with smaller disks."""
    section = HOWTO[HOWTO.index("## Run a guest on the pair") : HOWTO.index("## Watch the pair")]
    lines = re.findall(r"^    (ksnode guest (?:.*\\\n)*.*)\n", section, re.MULTILINE)
    typed = [shlex.split(line.replace("\\\n", " "), comments=True)[2:] for line in lines]
    assert [words[0] for words in typed] == ["add", "add", "list", "move", "console", "remove"]
    given = lab.place("web")
    for words in typed:
        small = [w.replace("size=20", "size=0.001").replace("20G", "1M") for w in words]
        assert lab.ksnode(*(str(given) if w == "web.xml" else w for w in small)) == 0, words
    assert (lab.root / "srv/vmdata/vm1.raw").stat().st_size == 1 << 20
    assert told(lab, capsys).keys() == {"web"}
    assert attended


def test_what_virt_install_says(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.ksnode("add", "vm1", "--", "--import", "--memory", "512") == 5
    assert "virt-install: ERROR" in capsys.readouterr().err
    (asked,) = (line for line in lab.done if line.startswith("virt-install"))
    assert asked.endswith("--import --memory 512 --name vm1 --print-xml")


def test_without_virt_install(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.without = {"virt-install"}
    assert lab.ksnode("add", "vm1", "--", "--import") == 5
    assert "next: dnf install virt-install" in capsys.readouterr().err


def test_what_libvirt_has_beside_the_cluster(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    node = "julius"
    lab.image()
    lab.domains(node, DOMAIN, DOMAIN.replace("vm1", "old").replace("/srv/vmdata", "/var/lib"))
    assert add(lab) == 5
    assert f"libvirt has a domain vm1 on {node}, beside the cluster" in capsys.readouterr().err
    assert lab.ksnode("list") == 0
    said = capsys.readouterr().out
    assert f"outside the cluster: vm1 on {node}, running\n  next: on {node}: virsh dumpxml" in said
    assert f"old on {node}, running\n  /var/lib/old.raw is on {node} alone\n" in said
    assert lab.ksnode("list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [sorted(one) for one in found["outside"]] == [["elsewhere", "name", "node", "state"]] * 2
    assert found.keys() == {"schema", "node", "guests", "outside", "unseen"}
    assert found["schema"] == 1


def test_a_disk_that_was_put_elsewhere(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    assert add(lab) == 0
    described = lab.root / "srv/vmdata/guests/vm1.xml"
    described.write_text(described.read_text().replace("/srv/vmdata/vm1", "/root/vm1"))
    capsys.readouterr()
    assert lab.ksnode("list") == 0
    assert "vm1: /root/vm1.raw is on one node alone\n  next: " in capsys.readouterr().out


def test_while_the_other_node_is_gone(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    assert add(lab, "--prefer", "justinian") == 0
    lab.settle("--node-down=julius")
    capsys.readouterr()
    assert lab.ksnode("list") == 0
    assert "julius was not seen" in capsys.readouterr().out
    for typed, words in (
        (("move", "vm1"), "julius can't take it: /srv/vmdata is not mounted there"),
        (("move", "vm1", "nero"), "nero is none of justinian and julius"),
        (("move", "web"), "the cluster has no guest web; there are vm1"),
        (("move", "ks-drbd"), "the cluster has no guest ks-drbd"),
        (("remove", "vm1"), "this stops vm1 on justinian and takes it out of the cluster"),
        (("remove", "vm1", "--confirm", "web"), "--confirm vm1"),
    ):
        assert lab.ksnode(*typed) == 5
        assert words in capsys.readouterr().err
    assert lab.ksnode("move", "vm1", "justinian") == 0
    assert "vm1 runs on justinian already" in capsys.readouterr().out


def test_what_takes_too_long_says_what_next(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    lab.hung = True
    assert add(lab) == 1
    assert "vm1 is not started\nnext: crm_mon -1rf" in capsys.readouterr().err
    assert lab.ksnode("move", "vm1") == 5
    assert lab.ksnode("console", "vm1") == 5
    lab.hung = False
    assert told(lab, capsys)["vm1"][1] == "started"
    lab.hung = True
    assert lab.ksnode("move", "vm1") == 1
    assert re.search(r"vm1 runs on \w+, not on \w+\nnext: crm_mon", capsys.readouterr().err)
    assert lab.ksnode("remove", "vm1", "--confirm", "vm1") == 1
    assert "still runs on" in capsys.readouterr().err


def test_one_that_does_not_start(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    lab.failing = ("vm1_start_0@justinian=1", "vm1_start_0@julius=1")
    assert add(lab) == 1
    said = capsys.readouterr().err
    assert re.search(r"vm1 does not start: vm1_start_0 on \w+: User-injected", said)
    assert "next: crm_resource --cleanup --resource vm1" in said
    assert told(lab, capsys)["vm1"][1] == "failed"


def test_one_that_could_not_be_moved_live(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    assert add(lab, "--prefer", "justinian") == 0
    lab.failing = ("vm1_migrate_to_0@justinian=1",)
    assert lab.ksnode("move", "vm1") == 0
    assert "it was not moved live but started anew" in capsys.readouterr().err
    assert told(lab, capsys)["vm1"][0] == "julius"


def test_another_guest_waits_for_it(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    assert add(lab) == 0
    file = lab.place("web", DOMAIN)
    assert lab.ksnode("add", "web", "--xml", str(file), "--after", "vm1", "--size", "1M") == 0
    assert lab.ksnode("remove", "vm1") == 5
    assert "web would no longer start after it" in capsys.readouterr().err
    described = lab.root / "srv/vmdata/guests/web.xml"
    described.write_text(described.read_text().replace("web.raw", "vm1.raw"))
    assert lab.ksnode("remove", "vm1", "--confirm", "vm1") == 0
    said = capsys.readouterr().out
    assert "to delete it: rm /srv/vmdata/guests/vm1.xml\n" in said, "the disk is another's as well"
    assert told(lab, capsys).keys() == {"web"}


def test_the_console_is_where_the_guest_is(
    lab: Lab, attended: "list[list[str]]", capsys: pytest.CaptureFixture[str]
) -> None:
    lab.image()
    assert add(lab, "--prefer", "julius") == 0
    assert lab.ksnode("console", "vm1") == 5
    assert "next: ssh -t julius ksnode guest console vm1" in capsys.readouterr().err
    assert not attended
    assert lab.ksnode("move", "vm1") == 0
    assert lab.ksnode("console", "vm1") == 0
    assert attended == [["virsh", "--quiet", "--connect", "qemu:///system", "console", "vm1"]]


def test_a_guest_that_still_starts_does_not_run_yet() -> None:
    shown = (Path(__file__).parent / "pacemaker/crm_mon-starting.xml").read_text()
    state = pacemaker.parse(shown)
    assert (cluster.nodes_of(state, "vm1"), cluster.started_on(state, "vm1")) == (["julius"], [])
    run = ScriptedRun().expect("crm_mon --one-shot --output-as=xml", shown)
    assert _not_started(run, "vm1") == ["vm1 is not started"]
    run.assert_finished()
