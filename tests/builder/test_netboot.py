"""The tree for network boot: the same as a medium, node by node, and who it is for."""

import dataclasses
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.plan import Plan, bootmenu, kickstart, netboot, tree
from builder.plan.bootmenu import Medium
from builder.plan.netboot import Site
from builder.plan.readback import parse
from builder.profile.load import load
from builder.profile.model import Profile
from builder.resources import templates
from tests.builder.conftest import planned
from tests.builder.server import Server, refused, sfdisk
from tests.builder.test_bootmenu import early_network

URL = "http://10.0.0.5"
SITE = Site(URL, "/srv/tree", False, True)
POOLED = dataclasses.replace(SITE, pool=("10.0.0.200", "10.0.0.210"))
DVD = Medium("DVD", False, "linuxefi", "initrdefi", stage2=True, dvd=True)
LOADERS = ("http/EFI/BOOT/grub.cfg-01-", "tftp/EFI/BOOT/grub.cfg-01-", "http/ipxe/")
PORTS = ["00:25:B3:22:E1:3C", "00:25:B3:22:E1:3D"]


def served(medium: Medium, pair: str = "00014", site: Site = SITE) -> Medium:
    place = netboot.served(site.url, pair)
    return dataclasses.replace(medium, volume_id=netboot.LABEL, menus=False, served=place)


def files_of(profile: Profile, site: Site = SITE, medium: Medium = DVD) -> dict[str, bytes]:
    plan = planned(profile, dvd=medium.dvd, served=site.url)
    here = served(medium, plan.pair.name, site)
    hosts = netboot.hosts(plan.profile, here)
    pair = netboot.pair_files(plan, here, site, templates())
    return pair | netboot.site_files(site, hosts, templates())


def command_lines(text: str) -> dict[str, list[str]]:
    """Entry -> words of the kernel's command line, whichever loader's menu it is."""
    found: dict[str, list[str]] = {}
    for entry in re.split(r"(?:--id '|^label |^:)", text, flags=re.MULTILINE)[1:]:
        if line := re.search(r"(?<=[ '])inst\.ks=.*", entry):
            (label,) = re.findall(r"^\w+", entry)
            found[label] = line[0].replace(" || goto failed", "").replace("'", "").split()
    return found


@pytest.mark.parametrize("dvd", [True, False])
def test_each_node_is_started_as_from_a_medium(example: Plan, dvd: bool) -> None:
    """Node by node, loader by loader: only where kickstart and installer come from differs."""
    medium = dataclasses.replace(DVD, stage2=dvd, dvd=dvd)
    on_medium = planned(example.profile, dvd=dvd)
    files = files_of(example.profile, medium=medium)
    for node in example.profile.node:
        meant = bootmenu.entry(on_medium.profile, node, medium).cmdline.split()
        # A DVD's installation fetches nothing, and has no network to wait for.
        network = bootmenu.entry(example.profile, node, medium).cmdline.split()[3:]
        mac = node.uplink.ports[0].lower().replace(":", "-")
        menus = [text.decode() for path, text in files.items() if mac in path]
        assert len(menus) == 4
        for menu in menus:
            words = command_lines(menu)[node.name]
            assert words[0] == f"inst.ks={URL}/pairs/00014/{node.name}.ks"
            assert words[1] == (f"inst.stage2={URL}" if dvd else meant[1])
            assert words[2:] == [meant[2], *network]
            assert set(meant[2:]) <= set(words)


@pytest.mark.parametrize("extras", ["", "ksbuild-extras"])
def test_each_kickstart_is_the_mediums_own(example: Plan, extras: str) -> None:
    """Line by line, but for where the packages come from."""
    on_medium = planned(example.profile, dvd=True, extras=extras)
    over = planned(example.profile, dvd=True, extras=extras, served=URL)
    assert over.digest == on_medium.digest
    assert over.describe == on_medium.describe
    here = {**tree(over, served(DVD), templates())}
    assert set(here) == {"justinian.ks", "julius.ks", "describe.cfg", "ksbuild.json"}
    for name, text in on_medium.kickstarts.items():
        there, then = text.splitlines(), here[f"{name}.ks"].decode().splitlines()
        gone = [line for line in there if line not in then]
        new = [line for line in then if line not in there]
        assert new == [
            f"url --url={URL}",
            *([f"repo --name={extras} --baseurl={URL}/{extras}"] if extras else []),
        ]
        assert gone[0] == f"url --url={kickstart.MEDIUM_TREE}"
        rest = "\n".join(gone[1:])
        # What is mounted is not looked at: nothing is.
        assert bool(rest) == bool(extras)
        assert "findmnt" in rest or not extras


def test_the_trees_packages_are_not_asked_by_way_of_the_proxy(example: Plan) -> None:
    update = {"proxy": "http://proxy.example.org:3128"}
    install = example.profile.install.model_copy(update=update)
    profile = example.profile.model_copy(update={"install": install})
    read = parse(planned(profile, dvd=True, served=URL).kickstarts["julius"])
    assert (read.url.url, read.url.proxy) == (URL, "")
    assert {repo.proxy for repo in read.repo.repoList} == {"http://proxy.example.org:3128"}
    elsewhere = parse(planned(profile, served=URL).kickstarts["julius"])
    assert elsewhere.url.url == profile.install.url
    assert elsewhere.url.proxy == "http://proxy.example.org:3128"


def two_ports(profile: Profile) -> Profile:
    first, second = profile.node
    uplink = second.uplink.model_copy(update={"ports": PORTS})
    return profile.model_copy(
        update={"node": [first, second.model_copy(update={"uplink": uplink})]}
    )


def test_a_node_may_start_from_each_port_of_its_uplink(example: Plan, tmp_path: Path) -> None:
    """And has its network there, where the cable is; nm-initrd-generator says so."""
    files = files_of(two_ports(example.profile))
    for number, mac in enumerate(PORTS):
        path = f"tftp/pxelinux.cfg/01-{mac.lower().replace(':', '-')}"
        line = " ".join(command_lines(files[path].decode())["julius"])
        found = early_network(line, tmp_path / str(number))
        assert list(found) == [mac]
        assert found[mac]["ipv4"]["address1"] == "10.0.0.113/22,10.0.0.1"
    assert "dhcp-host=00:25:b3:22:e1:3c,00:25:b3:22:e1:3d,10.0.0.113,julius\n" in (
        files_of(two_ports(example.profile), POOLED)[netboot.DNSMASQ].decode()
    )


def test_without_pxelinux_bios_is_told_of_ipxe_alone(example: Plan) -> None:
    files = files_of(example.profile, dataclasses.replace(SITE, pxelinux=False))
    assert not any("pxelinux" in path for path in files)
    assert b"x86PC" in files[netboot.DNSMASQ]
    assert b"pxelinux" not in files[netboot.DNSMASQ]


def test_kickstarts_lie_where_nobody_else_looks(example: Plan) -> None:
    """Nothing that TFTP gives away, and nothing outside pairs/, has a word of the introduction."""
    for path, content in files_of(example.profile).items():
        secret = path.startswith("http/pairs/") and path.endswith(".ks")
        assert (b"KSBUILD_PEM" in content) == secret, path


@pytest.mark.parametrize("site", [SITE, POOLED], ids=["beside", "alone"])
def test_dnsmasq_takes_its_configuration(example: Plan, tmp_path: Path, site: Site) -> None:
    for pxelinux in (True, False):
        here = dataclasses.replace(site, folder=str(tmp_path), pxelinux=pxelinux)
        path = tmp_path / "dnsmasq.conf"
        path.write_bytes(files_of(example.profile, here)[netboot.DNSMASQ])
        said = subprocess.run(
            ["dnsmasq", "--test", "-C", path], capture_output=True, text=True, check=False
        )
        assert (said.returncode, said.stderr) == (0, "dnsmasq: syntax check OK.\n")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8099", "http://pxe.example.org:8099/ks"])
def test_nginx_takes_its_configuration(example: Plan, tmp_path: Path, url: str) -> None:
    files = files_of(example.profile, Site(url, str(tmp_path), False, True))
    (tmp_path / "site.conf").write_bytes(files[netboot.NGINX])
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\n"
        f"http {{ access_log off; include {tmp_path}/site.conf; }}\n"
    )
    argv = ["nginx", "-t", "-q", "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "nginx.conf"]
    said = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_grub_takes_its_menus(example: Plan) -> None:
    checked = 0
    for path, content in files_of(example.profile).items():
        if "grub.cfg" in path:
            subprocess.run(["grub-script-check"], input=content, check=True)
            checked += 1
    assert checked == 7


def test_a_path_in_the_address(example: Plan) -> None:
    files = files_of(example.profile, dataclasses.replace(SITE, url="http://10.0.0.5/ks"))
    mac = "00-25-b3-22-e1-3c"
    over_http = files[f"http/EFI/BOOT/grub.cfg-01-{mac}"].decode()
    assert "linuxefi /ks/images/pxeboot/vmlinuz" in over_http
    assert "linuxefi /images/pxeboot/vmlinuz" in (
        files[f"tftp/EFI/BOOT/grub.cfg-01-{mac}"].decode()
    )
    assert "set menu=/ks/EFI/BOOT/grub.cfg-01-" in files["http/EFI/BOOT/grub.cfg"].decode()
    assert "set menu=/EFI/BOOT/grub.cfg-01-" in files["tftp/EFI/BOOT/grub.cfg"].decode()


@pytest.mark.parametrize(("url", "told"), [(URL, False), ("http://pxe.example.org", True)])
def test_http_boot_is_told_no_name_server_it_does_not_need(
    example: Plan, url: str, told: bool
) -> None:
    """GRUB 2.06 knows itself started over HTTP only where the device path has no DNS node."""
    text = files_of(example.profile, dataclasses.replace(POOLED, url=url))[netboot.DNSMASQ].decode()
    assert ("dhcp-option=tag:net1,option:dns-server,10.0.0.1\n" in text) == told
    assert ("dhcp-option=tag:net1,tag:!uefihttp,option:dns-server,10.0.0.1\n" in text) != told


def test_grub_knows_every_port_of_every_node(example: Plan) -> None:
    """And asks no server, which may answer with a page, whether it has a menu."""
    for folder in ("http", "tftp"):
        text = files_of(two_ports(example.profile))[f"{folder}/EFI/BOOT/grub.cfg"].decode()
        known = re.findall(r"= (\S+) \]; then set menu=/EFI/BOOT/grub.cfg-01-(\S+); fi", text)
        macs = ["00:25:b3:22:d9:3c", *(mac.lower() for mac in PORTS)]
        assert known == [(mac, mac.replace(":", "-")) for mac in macs]
        assert "[ -s" not in text


@pytest.mark.parametrize("path", ["http/EFI/BOOT/grub.cfg", "tftp/pxelinux.cfg/default"])
def test_a_stranger_is_refused_and_told_why(example: Plan, path: str) -> None:
    text = files_of(example.profile)[path].decode()
    assert "REFUSED: no profile has a node with" in text
    assert "node.uplink.ports" in text
    assert "vmlinuz" not in text


def test_what_two_nodes_cannot_share(root: Path, changed: Callable[..., Plan]) -> None:
    first = load(root / "profiles/example.toml").profile
    mine = netboot.hosts(first, DVD)
    assert list(netboot.clashes(mine)) == []
    other = changed(('name = "00014"', 'name = "00015"'), ("10.0.0.112/22", "10.0.0.114/22"))
    theirs = netboot.hosts(other.profile, DVD)
    assert list(netboot.clashes([*mine, *theirs])) == [
        "00:25:b3:22:d9:3c is justinian's (00014) and justinian's (00015)",
        "00:25:b3:22:e1:3c is julius's (00014) and julius's (00015)",
        "10.0.0.113 is julius's (00014) and julius's (00015)",
    ]


def test_a_tagged_uplink_is_said_in_dnsmasqs_file(example: Plan) -> None:
    uplink = example.profile.uplink.model_copy(update={"vlan": 88})
    files = files_of(example.profile.model_copy(update={"uplink": uplink}))
    assert b"# The uplink is tagged there" in files[netboot.DNSMASQ]
    assert b"vlan=ksup2.88:ksup2" in files["http/ipxe/00-25-b3-22-e1-3c.ipxe"]
    assert b"tagged" not in files_of(example.profile)[netboot.DNSMASQ]


def test_the_pool_is_in_one_of_the_networks(example: Plan) -> None:
    hosts = netboot.hosts(example.profile, DVD)
    assert netboot.pool_network(POOLED, hosts) == "10.0.0.0"
    assert netboot.pool_network(SITE, hosts) is None
    outside = dataclasses.replace(SITE, pool=("10.0.3.250", "10.0.4.2"))
    assert netboot.pool_network(outside, hosts) is None


def test_pre_knows_its_server_and_leaves_an_installed_one_alone(
    server: Server, example: Plan
) -> None:
    """As from a medium, and no disc is ejected: what lies in a drive is somebody's own."""
    over = planned(example.profile, dvd=True, served=URL)
    server.cmdline = f"inst.ks={URL}/pairs/00014/justinian.ks rd.neednet=1"
    image = server.add_disk("sda", 950)
    assert server.run(over.kickstarts["justinian"]).success
    refused(server.run(over.kickstarts["julius"]), "this server is not known")
    sfdisk(image, "--part-label", "5", "ks-root")
    hook = server.root / "run/initramfs/usr/lib/dracut/hooks/shutdown/99anaconda-eject.sh"
    hook.parent.mkdir(parents=True)
    (server.root / "dev/sr0").touch()
    (server.root / "dev/disk/by-label").mkdir()
    (server.root / "dev/disk/by-label/DVD").symlink_to("../../sr0")
    said = refused(server.run(over.kickstarts["justinian"]), "carries justinian of this pair")
    assert "ksbuild.reinstall=00014-justinian" in said
    assert not hook.exists()
    server.cmdline += " ksbuild.reinstall=00014-justinian"
    assert server.run(over.kickstarts["justinian"]).success
