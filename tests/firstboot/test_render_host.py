"""The node's other files, each through the program that will read it."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Union
from xml.etree import ElementTree

import pytest

from firstboot.configfile import ConfigFile
from firstboot.node import Identity
from firstboot.render import chrony, firewalld, hosts, kernel, render, selinux, sshd
from tests.firstboot.conftest import an_identity


def program(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def privately(script: str, *arguments: Union[str, Path]) -> "subprocess.CompletedProcess[str]":
    """A shell's last command with arguments, where mounts and network are its own."""
    argv = ("unshare", "--user", "--map-root-user", "--mount", "--net", "sh", "-euc")
    return program(*argv, f'{script} "$@"', "sh", *map(str, arguments))


def written(folder: Path, file: ConfigFile) -> Path:
    target = folder / file.path.name
    target.write_text(file.text)
    return target


def firewall(node: str = "justinian") -> dict[str, ConfigFile]:
    files = render(an_identity(node))
    return {f.path.parent.name: f for f in files if "firewalld" in str(f.path)}


def with_servers(identity: Identity, *servers: str) -> Identity:
    return replace(identity, pair=replace(identity.pair, time_servers=servers))


def test_firewalld_takes_it(tmp_path: Path) -> None:
    """Of a rule it cannot read firewalld only complains, so what it made of ours is read back."""
    for folder, file in firewall().items():
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, file)
    argv = ("firewall-offline-cmd", "--system-config", str(tmp_path))
    done = program(*argv, "--check-config")
    assert done.returncode == 0, done.stdout + done.stderr
    rule = 'family="ipv4" source address="10.0.0.2" destination address="10.0.0.1"'
    listed = program(*argv, "--policy", firewalld.POLICY, "--list-rich-rules").stdout
    assert f'rule {rule} port port="5405-5412" protocol="udp" accept' in listed
    zone = tmp_path / "zones/crossover.xml"
    zone.write_text(zone.read_text().replace("5405-5412", "corosync"))
    assert program(*argv, "--check-config").returncode != 0


@pytest.mark.parametrize(("node", "ntp"), [("justinian", {"123/udp"}), ("julius", set())])
def test_the_crossover_lets_in_what_the_nodes_say_and_nothing_else(
    node: str, ntp: "set[str]"
) -> None:
    zone = ElementTree.fromstring(firewall(node)["zones"].text)  # noqa: S314 - our own
    assert zone.get("target") == "DROP"
    ports = {f"{p.get('port')}/{p.get('protocol')}" for p in zone.findall("port")}
    wanted = {"8443/tcp", "7788/tcp", "5405-5412/udp", "21064/tcp", "49152-49215/tcp", "16514/tcp"}
    assert ports == wanted | ntp
    assert [s.get("name") for s in zone.findall("service")] == ["ssh"]
    assert [p.get("value") for p in zone.findall("protocol")] == ["icmp"]
    assert {e.tag for e in zone} == {
        *("short", "description", "interface", "service", "port", "protocol"),
    }


def test_one_rule_on_the_uplink_for_the_peer_alone() -> None:
    policy = ElementTree.fromstring(firewall("julius")["policies"].text)  # noqa: S314 - our own
    (rule,) = policy.findall("rule")
    said = {(e.tag, *sorted(e.attrib.items())) for e in rule}
    assert said == {
        ("source", ("address", "10.0.0.1")),
        ("destination", ("address", "10.0.0.2")),
        ("port", ("port", "5405-5412"), ("protocol", "udp")),
        ("accept",),
    }
    assert policy.get("target") == "CONTINUE"


def test_a_platform_without_firewalld_gets_no_zone() -> None:
    files = render(an_identity(platform="debian12-lab"))
    assert not [f for f in files if "firewalld" in str(f.path)]
    assert not [f for f in files if "zone=" in f.text]


@pytest.mark.parametrize("node", ["justinian", "julius"])
@pytest.mark.parametrize("servers", [(), ("ntp.example.org", "10.0.0.9")])
def test_chrony_takes_it(tmp_path: Path, node: str, servers: "tuple[str, ...]") -> None:
    (file,) = chrony.render(with_servers(an_identity(node), *servers))
    target = written(tmp_path, file)
    done = program("chronyd", "-p", "-f", str(target))
    assert done.returncode == 0, done.stderr
    assert done.stdout == file.text
    target.write_text(file.text + "serverr x\n")
    assert program("chronyd", "-p", "-f", str(target)).returncode != 0


def test_where_the_time_comes_from() -> None:
    def lines(identity: Identity) -> "list[str]":
        return chrony.render(identity)[0].text.splitlines()[:2]

    assert lines(an_identity()) == ["local stratum 10", "allow 127.0.7.2"]
    assert lines(an_identity("julius"))[0] == "server 127.0.7.1 iburst"
    both = [with_servers(an_identity(node), "ntp.example.org") for node in ("justinian", "julius")]
    assert [lines(identity)[0] for identity in both] == ["server ntp.example.org iburst"] * 2
    assert "allow" not in chrony.render(both[0])[0].text


@pytest.mark.parametrize("passwords", [False, True])
def test_sshd_takes_it_first(tmp_path: Path, passwords: bool) -> None:
    """`sshd -T` says what is in effect; the distribution's own drop-in comes after ours."""
    identity = an_identity()
    identity = replace(identity, pair=replace(identity.pair, ssh_passwords=passwords))
    file, _ = sshd.render(identity)
    folder = tmp_path / "d"
    folder.mkdir()
    written(folder, file)
    (folder / "50-redhat.conf").write_text("PermitRootLogin yes\nPasswordAuthentication yes\n")
    key, main = tmp_path / "key", tmp_path / "sshd_config"
    assert program("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)).returncode == 0
    main.write_text(f"Include {folder}/*.conf\nHostKey {key}\n")
    done = privately("mount -t tmpfs none /run && mkdir /run/sshd && /usr/sbin/sshd -T", "-f", main)
    assert done.returncode == 0, done.stderr
    effective = set(done.stdout.splitlines())
    assert "permitrootlogin without-password" in effective
    assert ("passwordauthentication yes" in effective) == passwords
    main.write_text(main.read_text() + "PermitRootLogn no\n")
    assert program("/usr/sbin/sshd", "-t", "-f", str(main)).returncode == 255


def test_hosts_is_read_by_the_resolver(tmp_path: Path) -> None:
    identity = an_identity()
    first, second = identity.pair.nodes
    first = replace(first, name="justinian.example.org")
    identity = replace(
        identity, node=first.name, pair=replace(identity.pair, nodes=(first, second))
    )
    (file,) = hosts.render(identity)
    target = written(tmp_path, file)
    for name, address in (
        ("justinian", "10.0.0.1"),
        ("justinian.example.org", "10.0.0.1"),
        ("justinian-bond.example.org", "127.0.7.1"),
        ("julius-bond", "127.0.7.2"),
        ("localhost4", "127.0.0.1"),
    ):
        done = privately(f"mount --bind {target} /etc/hosts && getent -s files hosts", name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[0] == address


def test_sysctl_takes_every_name(tmp_path: Path) -> None:
    """systemd's own program sets those of a network namespace; the rest exist under that name."""
    identity = an_identity()
    target = written(tmp_path, kernel.render(identity)[0])
    name = "net.ipv4.tcp_reordering"
    set_it = f"/usr/lib/systemd/systemd-sysctl --prefix=net/ipv4 --strict {target}"
    done = privately(f"{set_it} && sysctl -n", name)
    assert (done.returncode, done.stdout.strip()) == (0, "127"), done.stderr
    for key in kernel.settings(identity):
        assert (Path("/proc/sys") / key.replace(".", "/")).exists()
    assert "vm.dirty_bytes = 268435456\n" in target.read_text()
    calm = replace(identity.pair, crossover=replace(identity.pair.crossover, mode="active-backup"))
    assert name not in kernel.settings(replace(identity, pair=calm))


def test_udev_runs_it(tmp_path: Path) -> None:
    """The loopback device stands for br_netfilter, which must not be loaded for a test."""
    file = kernel.render(an_identity())[1]
    which = 'SUBSYSTEM=="module", KERNEL=="br_netfilter"'
    assert which in file.text

    def tested(text: str) -> str:
        (tmp_path / file.path.name).write_text(text)
        done = privately(f"mount --bind {tmp_path} /etc/udev/rules.d && udevadm test /class/net/lo")
        return done.stdout + done.stderr

    loopback = file.text.replace(which, 'SUBSYSTEM=="net", KERNEL=="lo"')
    assert "systemd-sysctl --prefix=/net/bridge" in tested(loopback)
    assert "nvalid" in tested(loopback.replace("KERNEL==", "KERNL=="))


# As much of a policy as semanage wants to see.
POLICY = """
(mls true) (handleunknown allow) (sid kernel) (sidorder (kernel))
(class file (read)) (classorder (file))
(sensitivity s0) (sensitivityorder (s0)) (category c0) (categoryorder (c0))
(sensitivitycategory s0 (c0)) (level low (s0)) (level high (s0 (c0))) (levelrange all (low high))
(user system_u) (userrole system_u object_r) (userlevel system_u low) (userrange system_u all)
(role object_r) (type virt_image_t) (type disk_t) (type drbd_t)
(roletype object_r drbd_t) (roletype object_r virt_image_t) (roletype object_r disk_t)
(typeattribute file_type) (typeattributeset file_type (virt_image_t))
(typeattribute device_node) (typeattributeset device_node (disk_t))
(allow file_type file_type (file (read))) (allow device_node device_node (file (read)))
(context any (system_u object_r virt_image_t (low low)))
(sidcontext kernel any) (filecon "/.*" any any)
"""


def test_semanage_takes_it(tmp_path: Path) -> None:
    """Into a store of its own, from which libsemanage writes what the step reads."""
    (file,) = selinux.render(an_identity())
    target = written(tmp_path, file)
    store, etc = tmp_path / "store", tmp_path / "etc"
    (store / "default").mkdir(parents=True)
    (etc / "default").mkdir(parents=True)
    shutil.copy("/etc/selinux/semanage.conf", etc)
    (etc / "config").write_text("SELINUX=permissive\nSELINUXTYPE=default\n")
    (tmp_path / "tiny.cil").write_text(POLICY)
    mounts = f"mount --bind {store} /var/lib/selinux && mount --bind {etc} /etc/selinux"
    done = privately(f"{mounts} && semodule -n -s default -i", tmp_path / "tiny.cil")
    assert done.returncode == 0, done.stderr
    semanage = f"{mounts} && semanage import -S default -N -f"
    done = privately(semanage, target)
    assert done.returncode == 0, done.stderr
    rules = (etc / "default/contexts/files/file_contexts.local").read_text()
    (module,) = tmp_path.glob(selinux.MODULES.replace("var/lib/selinux", "store"))
    assert module.is_dir()
    assert "/srv/vmdata(/.*)?    system_u:object_r:virt_image_t:s0\n" in rules
    target.write_text(file.text.replace("virt_image_t", "no_such_t"))
    assert "no_such_t is invalid" in privately(semanage, target).stderr


def test_a_platform_without_selinux_gets_no_rule() -> None:
    assert not selinux.render(an_identity(platform="debian12-lab"))


def test_ssh_looks_where_the_peers_keys_are(tmp_path: Path) -> None:
    """`ssh -G` says what is in effect; our drop-in takes nothing away that was looked at before."""
    main = tmp_path / "ssh_config"
    main.write_text(f"Include {written(tmp_path, sshd.render(an_identity())[1])}\n")
    usual, ours = (program("ssh", "-G", "-F", str(f), "julius") for f in ("/dev/null", main))
    assert ours.returncode == 0, ours.stderr
    (before,) = [x for x in usual.stdout.splitlines() if x.startswith("globalknownhostsfile")]
    (after,) = [x for x in ours.stdout.splitlines() if x.startswith("globalknownhostsfile")]
    assert after == "globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ksbuild_known_hosts"
    assert after.split()[1] == before.split()[1]
    assert ours.stdout.replace(after, before) == usual.stdout


def test_ssh_knows_the_peer_by_every_name(tmp_path: Path) -> None:
    made = program("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key"))
    assert made.returncode == 0
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    file = written(tmp_path, sshd.known_hosts(an_identity(), f"{key}\nssh-rsa AAAAB3NzaC1yc2E=\n"))
    for name in ("julius", "julius-bond", "10.0.0.2", "127.0.7.2"):
        found = program("ssh-keygen", "-F", name, "-f", str(file))
        assert f" {key}\n" in found.stdout, name
    for name in ("justinian", "10.0.0.1", "nero"):
        assert program("ssh-keygen", "-F", name, "-f", str(file)).returncode == 1
