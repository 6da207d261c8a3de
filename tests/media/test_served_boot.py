"""Network boot from ksbuild serve under real firmware: once to install, then from the disk."""

import hashlib
import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from builder.plan import tokens
from builder.profile.model import NodeSection
from tests.media.qemu import Firmware, Machine
from tests.media.rack import (
    POOL,
    URL,
    Rack,
    nodes,
    served_rack,
    write_profile,
    write_tree,
)

pytestmark = pytest.mark.qemu
STRANGER = "52:54:00:00:00:99"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its nodes are known by their ports alone: QEMU's firmware tells no serial number here."""
    path = write_profile(tmp_path_factory.mktemp("profile"))
    path.write_text(re.sub(r"(?m)^serial = .*\n", "", path.read_text()))
    return path


@pytest.fixture(scope="module")
def node(profile: Path) -> NodeSection:
    """The second, so that whoever takes the first one of anything is noticed."""
    return nodes(profile)[1]


@pytest.fixture(scope="module")
def tree(profile: Path, demo_source: Path) -> Path:
    return write_tree(profile, demo_source, profile.parent / "tree")


def secret(profile: Path) -> str:
    return (profile.parent / f"{profile.stem}.keys/serve_tokens.key").read_text().strip()


def stages(there: Rack, profile: Path, node: NodeSection) -> dict[str, str]:
    """Stage -> state, as the server's own status has it."""
    url = f"{URL}/see/{tokens.page(secret(profile))}/status"
    said = subprocess.run(
        there.lab.inside("curl", "-sf", url), check=True, capture_output=True, text=True
    )
    (pair,) = json.loads(said.stdout)["pairs"]
    (found,) = [each for each in pair["nodes"] if each["name"] == node.name]
    return {each["name"]: each["state"] for each in found["stages"]}


def tell_installed(there: Rack, profile: Path, node: NodeSection) -> None:
    """As the node's %post does it."""
    token = tokens.progress(secret(profile), node.name)
    argv = ["curl", "-sf", "-H", f"Authorization: Bearer {token}"]
    argv += ["-d", "stage=installed&event=done", f"{URL}/events"]
    subprocess.run(there.lab.inside(*argv), check=True, capture_output=True)


def assert_found(there: Rack, machine: Machine, profile: Path, node: NodeSection) -> None:
    said = machine.wait_for("powering off")
    token = tokens.kickstart(secret(profile), node.name, 1)
    (found,) = re.findall(r"kickstart found: (\S+) sha256=(\S+) bytes", said)
    assert found[0] == f"{URL}/ks/{token}"
    (line,) = re.findall(r"ksbuild-demo: command line: (.*)", said)
    assert " inst.ks.sendmac inst.ks.sendsn " in line
    again = subprocess.run(
        there.lab.inside(
            "curl", "-sf", "-H", f"X-RHN-Provisioning-MAC-0: eth0 {node.uplink.ports[0]}", found[0]
        ),
        check=True,
        capture_output=True,
    )
    assert hashlib.sha256(again.stdout).hexdigest() == found[1]
    assert b"hostname=" + node.name.encode() in again.stdout
    assert machine.wait_off() == 0
    assert stages(there, profile, node)["kickstart"] == "done"


def forget(there: Rack) -> None:
    """Wait until the server knows nothing of the machine's connections, as it would by the time an
    installation has ended: GRUB 2.06 begins each time with the same port of its own."""
    settings = ("net.ipv4.tcp_orphan_retries=1", "net.ipv4.tcp_fin_timeout=5")
    subprocess.run(there.lab.inside("sysctl", "-qw", *settings), check=True)
    until = time.monotonic() + 180
    while True:
        argv = there.lab.inside("ss", "-Htan", "( sport = :80 )")
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        if not [line for line in said.splitlines() if not line.startswith(("LISTEN", "TIME-WAIT"))]:
            return
        assert time.monotonic() < until, said
        time.sleep(1)


# By iPXE and HTTP Boot's GRUB as the server answers, else by what its dnsmasq hands out.
FIRMWARES = [
    pytest.param("bios", "ipxe", id="ipxe"),
    pytest.param("uefi", "ipxe", id="ipxe-uefi", marks=pytest.mark.slow),
    pytest.param("uefi", "http", id="http-boot", marks=pytest.mark.slow),
    pytest.param("uefi", "grub", id="grub", marks=pytest.mark.slow),
    pytest.param("bios", "pxelinux", id="pxelinux", marks=pytest.mark.slow),
]
# What is on the screen once the menu has handed back to the firmware, and no disk is there.
HANDED_BACK = {
    ("bios", "ipxe"): "Hard Disk",
    ("uefi", "ipxe"): "Boot Maintenance Manager",
    ("uefi", "http"): "Boot Maintenance Manager",
    ("uefi", "grub"): "Boot Maintenance Manager",
    ("bios", "pxelinux"): "Booting from Hard Disk",
}


@pytest.mark.parametrize(("firmware", "loader"), FIRMWARES)
def test_installs_once_and_then_starts_the_disk(
    profile: Path, tree: Path, node: NodeSection, tmp_path: Path, firmware: Firmware, loader: str
) -> None:
    mac, plain, menus = node.uplink.ports[0], loader == "pxelinux", loader in ("grub", "pxelinux")
    ipxe, http = loader in ("ipxe", "pxelinux"), loader == "http"
    local = "Start from the local" if menus else "is installed, starting its disk"
    with served_rack(profile, tree, tmp_path / "rack", "--pool", POOL, plain=plain) as there:
        with there.start(mac, firmware, ipxe=ipxe, http=http) as machine:
            if menus:
                machine.wait_for(f"Install {node.name}", 200)
                time.sleep(1)  # a menu that is still being drawn takes no key
                machine.type("\r")
            assert_found(there, machine, profile, node)
        tell_installed(there, profile, node)
        forget(there)
        with there.start(mac, firmware, ipxe=ipxe, http=http) as machine:
            machine.wait_for(local, 200)
            assert "Linux version" not in machine.wait_for(HANDED_BACK[firmware, loader], 200)
        forget(there)
        with there.start(STRANGER, firmware, ipxe=ipxe, http=http) as machine:
            said = machine.wait_for("REFUSED: no", 200)
            assert "Linux version" not in said
