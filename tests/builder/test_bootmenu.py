"""The boot menus: lines that the kernel takes, a network before %pre, and what starts by itself."""

import configparser
import dataclasses
import subprocess
from pathlib import Path

import pytest

from builder.plan import Plan, bootmenu
from builder.plan.bootmenu import Medium
from builder.resources import templates
from tests.builder.test_kickstart import NODES, scripts


def test_the_boot_lines_fit_the_kernel(example: Plan) -> None:
    medium = Medium("KSBUILD", False, "linuxefi", "initrdefi", stage2=True)
    lines = bootmenu.entries(example.profile, medium)
    assert [line.label for line in lines][:3] == ["install_this_server", *NODES]
    names = ["ks.cfg", "justinian.ks", "julius.ks", "describe.cfg"]
    for line, name in zip(lines, names, strict=True):
        words = line.cmdline.split()
        assert words[0] == f"inst.ks=hd:LABEL=KSBUILD:/{name}"
        assert words[1] == "inst.stage2=hd:LABEL=KSBUILD"
        assert len(line.cmdline) < 2048  # COMMAND_LINE_SIZE on x86
    assert "ip=10.0.0.113::10.0.0.1:255.255.252.0::00-25-b3-22-e1-3c:none" in lines[0].cmdline
    assert "ip=10.0.0.112::" not in lines[2].cmdline


def early_network(line: str, where: Path) -> dict[str, configparser.ConfigParser]:
    """What NetworkManager in the installer's initrd makes of a boot line, by connection."""
    where.mkdir()
    words = [
        f"--{name}-dir={where}/{name}" for name in ("connections", "initrd-data", "run-config")
    ]
    argv = ["/usr/lib/NetworkManager/nm-initrd-generator", *words, "--", *line.split()]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = {}
    for path in (where / "connections").iterdir():
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path)
        found[path.stem] = parser
    return found


@pytest.mark.parametrize("vlan", [None, 88])
def test_the_uplink_is_up_before_pre(example: Plan, tmp_path: Path, vlan: "int | None") -> None:
    """Untagged or tagged, with each node's own address; the real nm-initrd-generator says so."""
    uplink = example.profile.uplink.model_copy(update={"vlan": vlan})
    profile = example.profile.model_copy(update={"uplink": uplink})
    medium = Medium("KSBUILD", False, "linuxefi", "initrdefi", stage2=True)
    either, *own, _ = (entry.cmdline for entry in bootmenu.entries(profile, medium))
    for number, (node, line) in enumerate(zip(profile.node, own, strict=True), start=1):
        found = early_network(line, tmp_path / node.name)
        carrier = found[f"ksup{number}.{vlan}" if vlan else node.uplink.ports[0]]
        assert carrier["ipv4"]["address1"] == f"{node.uplink.address},{node.uplink.gateway}"
        assert carrier["ipv4"]["dns"].strip(";") == node.uplink.dns[0]
        if vlan:
            assert carrier["connection"]["interface-name"] == f"ksup{number}.88"
            assert dict(carrier["vlan"]) == {"flags": "1", "id": "88", "parent": f"ksup{number}"}
            assert f" ifname=ksup{number}:{node.uplink.ports[0].lower()} " in line
            assert found[f"ksup{number}"]["ipv4"]["method"] == "disabled"
        assert len(found) == (2 if vlan else 1)
    assert len(early_network(either, tmp_path / "either")) == (4 if vlan else 2)
    assert len(either) < 2048  # COMMAND_LINE_SIZE on x86
    alone = dataclasses.replace(medium, node=profile.node[1].name)
    assert (
        bootmenu.entries(profile, alone)[0].cmdline.partition("rd.neednet")[2]
        == (own[1].partition("rd.neednet")[2])
    )


def test_the_menu_installs_by_itself_and_offers_the_local_disk(example: Plan) -> None:
    files = bootmenu.render(templates(), example.profile, Medium("K", False, "linux", "initrd"))
    isolinux, grub = files["isolinux/isolinux.cfg"], files["EFI/BOOT/grub.cfg"]
    assert "default install_this_server\ntimeout 300\n" in isolinux
    assert "label local_disk\n" in isolinux
    assert "set default='install_this_server'\nset timeout=30\n" in grub
    assert "--file '/EFI/ksbuild/2f0c5a8e-6f5b-4c43-9b9e-7d3a3f0a9d14'" in grub
    (post,) = scripts(example.either, "post")
    assert "put /boot/efi/EFI/ksbuild/2f0c5a8e-6f5b-4c43-9b9e-7d3a3f0a9d14 0600" in post
    checked = subprocess.run(["grub-script-check"], input=grub, text=True, check=False)
    assert checked.returncode == 0
