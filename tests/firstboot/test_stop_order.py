"""In which order a node stops: what real systemd makes of our units and the distribution's."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from firstboot.render import systemd
from tests.firstboot.test_render_cluster import lay_units

ASKED = "pacemaker.service"
# systemd makes this unit when something is mounted; here it takes a file to have it in the picture.
MOUNT = "[Mount]\nWhat=/dev/drbd0\nWhere=/srv/vmdata\nType=gfs2\n"
AGENT = "[Unit]\nAfter=NetworkManager.service firewalld.service\n[Service]\nExecStart=/bin/true\n"


def loaded(root: Path, *wanted: str) -> "dict[str, set[str]]":
    """Unit -> those that start before it, as systemd loads them (`systemd --test`, no manager)."""
    folder = root / "etc/systemd/system" / f"{ASKED}.wants"
    folder.mkdir(parents=True)
    for unit in wanted:
        (folder / unit).symlink_to(f"../{unit}")
    (root / "run").mkdir(exist_ok=True)
    folders = [root / "etc/systemd/system", root / "lib/systemd/system"]
    environment = {"SYSTEMD_UNIT_PATH": ":".join(map(str, folders)), "HOME": str(root)}
    # It will not do so as root; nothing is started.
    argv = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "/lib/systemd/systemd"]
    done = subprocess.run(
        [*argv, "--test", "--user", f"--unit={ASKED}", "--no-pager", "--log-target=console"],
        capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, **environment, "XDG_RUNTIME_DIR": str(root / "run")},
    )  # fmt: skip
    before: dict[str, set[str]] = {}
    for text in done.stdout.split("-> Unit ")[1:]:
        name, _, rest = text.partition(":")
        found = before.setdefault(name, set())
        found |= set(re.findall(r"^\t*After: (\S+) ", rest, re.MULTILINE))
    return before


def chain(before: "dict[str, set[str]]", unit: str) -> "set[str]":
    """All that starts before a unit, by whatever way: all that stops after it has stopped."""
    found: set[str] = set()
    new = {unit}
    while new:
        found |= new
        new = {other for one in new for other in before.get(one, ())} - found
    return found - {unit}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lay_units(tmp_path)
    for name, text in (("srv-vmdata.mount", MOUNT), ("ksnode.service", AGENT)):
        (tmp_path / "lib/systemd/system" / name).write_text(text)
    return tmp_path


WANTED = ("srv-vmdata.mount", "ksnode.service", systemd.GATE, "virtqemud.service")


def test_a_node_stops_from_the_guests_down_to_the_network(root: Path) -> None:
    """pacemaker moves or stops the guests, unmounts, demotes: all of that while it stops itself."""
    before = loaded(root, *WANTED)
    assert chain(before, "pacemaker.service") >= {
        # libvirt outlives its guests, the mount is pacemaker's to undo, then membership goes
        *("virtqemud.service", "virtlockd.service", "srv-vmdata.mount", "corosync.service"),
        *(systemd.GATE, "NetworkManager.service", "network-online.target"),
    }
    assert chain(before, "corosync.service") >= {systemd.GATE, "NetworkManager.service"}
    assert chain(before, systemd.GATE) >= {"NetworkManager.service", "firewalld.service"}
    assert "NetworkManager.service" in chain(before, "ksnode.service")


def test_nothing_waits_for_what_stops_after_it(root: Path) -> None:
    before = loaded(root, *WANTED)
    for unit in ("pacemaker.service", "corosync.service", systemd.GATE, "srv-vmdata.mount"):
        assert unit not in {u for other in before[unit] for u in chain(before, other)}
    assert not {"pacemaker.service", "corosync.service"} & chain(before, "srv-vmdata.mount")
    assert "ksnode.service" not in chain(before, "pacemaker.service"), "the agent starts it"


def test_without_our_drop_ins_it_would_be_another(root: Path) -> None:
    for drop_in in (root / "etc/systemd/system").glob("*.d/ksbuild.conf"):
        drop_in.unlink()
    before = loaded(root, *WANTED)
    after_pacemaker = chain(before, "pacemaker.service")
    assert "corosync.service" in after_pacemaker
    assert not {"virtqemud.service", "virtlockd.service", "srv-vmdata.mount"} & after_pacemaker


@pytest.mark.parametrize(
    "place", ["/srv/vmdata", "/srv/vm-data", "/srv/.v/m_d:1", "/.x/\u00fc y", "/vm\\data/"]
)
def test_the_mounts_unit_is_named_as_systemd_does(place: str) -> None:
    done = subprocess.run(
        ["systemd-escape", "--path", "--suffix=mount", place],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert systemd.mount_unit(place) == done.stdout.strip()
