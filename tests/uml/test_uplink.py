"""The uplink in all its shapes, on a real NetworkManager with real bonds, VLANs and bridges."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.plan.agent import archive
from builder.resources import agent_sources
from firstboot.node import Bridge, Identity, Uplink, to_json
from tests.firstboot.conftest import an_identity
from tests.uml.disk import blank_disk, partition, read_files
from tests.uml.images import Images
from tests.uml.installation import install, start_node
from tests.uml.lab import Lab
from tests.uml.machine import Nic, scratch_folder
from tests.uml.medium import write_iso
from tests.uml.sample import kickstart, mac, part_uuid

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

_LABEL = "KSUPLINK"
_PORTS = [mac(1, n) for n in range(3)]
# As Anaconda leaves them: `network --device=MAC --bindto=mac`, and with --vlanid.
_NO_IPV6 = "[ipv6]\nmethod=disabled\n"
_PLAIN = "[connection]\nid={0}\ntype=ethernet\n[ethernet]\nmac-address={1}\n" + _NO_IPV6
_STATIC = "[ipv4]\nmethod=manual\naddress1=10.0.0.1/22,10.0.3.254\n"
_VLAN = (
    "[connection]\nid=vec0.5\ntype=vlan\ninterface-name=vec0.5\n[vlan]\nid=5\nparent=vec0\n"
    + _NO_IPV6
)

_PROGRAM = """\
PYTHONPATH=/root/uplink/agent.pyz python3 /root/uplink/uplink_node.py /root/uplink \\
  > /var/lib/sample.result 2> /var/lib/sample.errors
journalctl -b -o cat -u NetworkManager > /var/lib/sample.journal
sync
echo "sample: done" > /dev/console
"""


def identity(ports: int, vlan: int | None, mode: str) -> Identity:
    """The first node with so many uplink ports and its own addresses in that VLAN."""
    whole = an_identity(platform="debian12-lab")
    first, second = whole.pair.nodes
    first = replace(first, uplink=replace(first.uplink, ports=tuple(_PORTS[:ports])))
    pair = replace(
        whole.pair,
        nodes=(first, second),
        uplink=Uplink(mode, vlan, 1400),
        bridges=(*whole.pair.bridges, Bridge("guests", 9, ())),
    )
    return replace(whole, pair=pair)


VARIANTS = {
    "one": identity(1, None, "active-backup"),
    "one-tagged": identity(1, 5, "active-backup"),
    "two": identity(2, None, "active-backup"),
    "two-tagged": identity(2, 5, "802.3ad"),
}
# One VLAN more and one less, with a guest on a third.
AFTER = {
    name: replace(
        VARIANTS[name],
        pair=replace(
            VARIANTS[name].pair,
            bridges=(*an_identity().pair.bridges, Bridge("br0.10", 10, ())),
        ),
    )
    for name in ("one", "two-tagged")
}
LEFT: dict[str, dict[str, str]] = {
    "one": {"vec0": _PLAIN.format("vec0", _PORTS[0]) + _STATIC},
    "one-tagged": {
        "vec0": _PLAIN.format("vec0", _PORTS[0]) + "[ipv4]\nmethod=disabled\n",
        "vec0.5": _VLAN + _STATIC,
    },
    "two": {"vec0": _PLAIN.format("vec0", _PORTS[0]) + _STATIC},
    "two-tagged": {},
}


def payload() -> str:
    """A tar in base64 of agent, script, node.json and the installer's profiles."""
    script = (Path(__file__).parent / "uplink_node.py").read_bytes()
    files = {"agent.pyz": archive(agent_sources()), "uplink_node.py": script}
    for name, whole in VARIANTS.items():
        files[f"{name}.json"] = to_json(whole).encode()
        if name in AFTER:
            files[f"{name}.after"] = to_json(AFTER[name]).encode()
        for profile, text in LEFT[name].items():
            files[f"{name}/{profile}.nmconnection"] = text.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"root/uplink/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return base64.encodebytes(buffer.getvalue()).decode().strip()


def with_payload() -> bytes:
    text = kickstart(1).decode()
    program = text[text.index("#!/bin/bash\n# Runs at") : text.index("\nEOF\ninstall -m 0644")]
    tar = text[text.index("sample-profiles.tar <<'EOF'\n") + 28 : text.index("\nEOF\ntar -C")]
    text = text.replace(program, f"#!/bin/bash\n{_PROGRAM.strip()}").replace(tar, payload())
    return text.encode()


@pytest.fixture(scope="module")
def answers(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder, disks = tmp_path_factory.mktemp("uplink"), tmp_path_factory.mktemp("d")
    disk = blank_disk(scratch_folder() / f"{disks.parent.name}-uplink.img", 44)
    medium = write_iso(folder / "medium.iso", _LABEL, {"ks/node1.cfg": with_payload()})
    try:
        with Lab() as lab:
            nics = [Nic(port, lab.cable().a) for port in _PORTS]
            installed = install(
                lab, "uplink-installer", images, disk=disk, medium=medium, nics=nics,
                arguments=[f"inst.ks=hd:LABEL={_LABEL}:/ks/node1.cfg"],
                folder=folder / "install",
            )  # fmt: skip
            assert installed.success, installed.reason + installed.script_tail
            root = part_uuid(1, "root")
            with start_node(
                lab, "uplink", disk=disk, root_uuid=root, nics=nics, console=folder / "console"
            ) as machine:
                machine.wait_console("sample: done", 300.0)
                machine.shut_down()
        kept = ["/var/lib/sample.result", "/var/lib/sample.errors", "/var/lib/sample.journal"]
        files = read_files(images, disk, partition(disk, root).number, kept)
        (folder / "journal").write_bytes(files[kept[2]])
        assert files[kept[0]], files[kept[1]].decode()[-2000:]
        yield json.loads(files[kept[0]])
    finally:
        disk.unlink()


CHAINS = {
    "one": {"vec0": "br0", "uplink.8": "br0.8", "uplink.9": "guests"},
    "one-tagged": {"uplink.5": "br0", "uplink.8": "br0.8", "uplink.9": "guests"},
    "two": {"vec0": "uplink", "vec1": "uplink", "uplink": "br0"},
    "two-tagged": {"vec0": "uplink", "vec1": "uplink", "uplink.5": "br0"},
}
for _name in ("two", "two-tagged"):
    CHAINS[_name] |= {"uplink.8": "br0.8", "uplink.9": "guests"}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_uplink_comes_up(answers: dict[str, Any], name: str) -> None:
    answer = answers[name]
    assert answer["missing"] == [], answer["told"]
    assert answer["chain"] == CHAINS[name]
    assert set(answer["before"]) == set(LEFT[name])
    assert all(profile.startswith("ks-") for profile in answer["profiles"]), "ours alone are left"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_second_run_only_looks(answers: dict[str, Any], name: str) -> None:
    for command in answers[name]["again"]:
        assert " show" in command, command


@pytest.mark.parametrize("name", AFTER)
def test_a_vlan_comes_and_goes_and_nobody_elses_network_is_touched(
    answers: dict[str, Any], name: str
) -> None:
    """What stays as planned stays in the very activation it was in, the guest's port with it."""
    answer = answers[f"{name}.after"]
    first, changed, back = (answer[when] for when in ("at first", "changed", "back"))
    for state in (first, changed, back):
        assert state["missing"] == [], answer["told"]
        assert state["chain"]["vnet0"] == "br0.8"
    assert changed["chain"]["uplink.10"] == "br0.10"
    assert "uplink.9" not in changed["chain"]
    assert set(first["profiles"]) - set(changed["profiles"]) == {"ks-guests", "ks-uplink.9"}
    assert set(changed["profiles"]) - set(first["profiles"]) == {"ks-br0.10", "ks-uplink.10"}
    assert (back["profiles"], back["chain"]) == (first["profiles"], first["chain"])
    kept = first["activations"].keys() & changed["activations"].keys() & back["activations"].keys()
    assert {"br0", "br0.8", "uplink.8"} <= kept
    for device in kept:
        paths = {state["activations"][device] for state in (first, changed, back)}
        assert len(paths) == 1, f"{device} was brought up anew"
