"""Rendered kickstarts: what the installer reads, and scripts that its shell can run."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import KickstartError
from builder.plan import Plan, bootmenu, kickstart
from builder.plan.bootmenu import Medium
from builder.plan.readback import parse
from builder.profile.load import load
from builder.profile.model import Repository
from tests.builder.conftest import plan_of, planned
from tests.builder.server import Server

NODES = ["justinian", "julius"]
REPOSITORIES = ["AppStream", "HighAvailability", "ResilientStorage", "ELRepo"]

# Programs that lorax's runtime-cleanup.tmpl (rhel9-branch) removes from the installer.
GONE = """
base64 timeout truncate install nproc nohup join nl comm csplit mkfifo pathchk ptx yes sum hostid
logname cksum shuf sha224sum sha384sum sha512sum factor fold expand stdbuf tsort who whoami stty su
nice runuser uuidgen column setsid script rename taskset free pgrep pkill uptime vmstat watch w
file diff cmp lsusb bridge tc ss
"""


def scripts(text: str, kind: str) -> list[str]:
    return re.findall(rf"^%{kind}\b[^\n]*\n(.*?)^%end$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("node", NODES)
def test_the_installer_understands_what_was_meant(example: Plan, node: str) -> None:
    handler = parse(example.kickstarts[node])
    section = next(n for n in example.profile.node if n.name == node)
    network = handler.network.network[0]
    assert (network.device, network.bindto, network.gateway) == (
        section.uplink.ports[0], "mac", "10.0.0.1",
    )  # fmt: skip
    assert network.netmask == "255.255.252.0"
    assert handler.url.url == example.profile.install.url
    assert [repo.name for repo in handler.repo.repoList] == REPOSITORIES
    assert handler.rootpw.lock
    assert [key.key for key in handler.sshkey.sshUserList] == example.profile.access.ssh_keys
    assert "python3" in handler.packages.packageList
    assert [group.name for group in handler.packages.groupList] == ["core"]
    kinds = sorted(script.type for script in handler.scripts)
    assert kinds == sorted({script.type for script in handler.scripts}), "one script of each kind"
    assert all(s.errorOnFail for s in handler.scripts if "exit 1" in s.script or "put" in s.script)


@pytest.mark.parametrize("node", [*NODES, "either"])
@pytest.mark.parametrize("kind", ["pre", "post", "onerror"])
def test_scripts_pass_shellcheck(example: Plan, tmp_path: Path, node: str, kind: str) -> None:
    text = {"either": example.either, **example.kickstarts}[node]
    (script,) = scripts(text, kind)
    path = tmp_path / "script.sh"
    path.write_text("#!/bin/bash\n" + script)
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def commands_gone(script: str) -> set[str]:
    """Programs in command position that the installer does not have."""
    before = r"(?:^\s*|[|;&(`]\s*|\b(?:if|then|do|else|elif|while|until|exec|!)\s+)"
    words = "|".join(GONE.split())
    return set(re.findall(rf"{before}({words})(?=[\s;|)]|$)", script, re.MULTILINE))


def test_the_describing_script_passes_shellcheck(example: Plan, tmp_path: Path) -> None:
    (script,) = scripts(example.describe, "pre")
    (tmp_path / "script.sh").write_text("#!/bin/bash\n" + script)
    argv: list[str | Path] = ["shellcheck", tmp_path / "script.sh"]
    assert subprocess.run(argv, capture_output=True, text=True, check=False).stdout == ""
    assert commands_gone(script) == set()


@pytest.mark.parametrize("kind", ["pre", "onerror"])
def test_only_programs_the_installer_has(example: Plan, kind: str) -> None:
    (script,) = scripts(example.either, kind)
    assert commands_gone(script) == set()
    for use in ("  timeout 5 x", "x | base64", "a=$(nproc)", "if cmp a b; then", "x && yes"):
        assert commands_gone(f"{script}\n{use}\n"), use


def test_a_kickstart_the_installer_rejects_is_an_error() -> None:
    with pytest.raises(KickstartError, match="nosuch"):
        parse("nosuch --command\n")
    with pytest.raises(KickstartError, match="isUtc"):  # deprecated in RHEL 9
        parse("timezone Etc/UTC --isUtc\n")


def test_hostile_values_stay_values(root: Path, tmp_path: Path) -> None:
    """What a profile may hold can't leave its place in kickstart or shell."""
    text = (root / "profiles/example.toml").read_text()
    serial = """a'b"c$(touch x)`touch x`;\\\\ %end"""
    text = text.replace('"CZC00014A1"', "'''" + serial + "'''")
    (tmp_path / "p.toml").write_text(text)
    checked = load(tmp_path / "p.toml").profile
    argument = "x=$(touch${IFS}x)`touch${IFS}x`$HOME"  # values.py takes none such; belt and braces
    install = checked.install.model_copy(update={"kernel_arguments": [argument]})
    made = planned(checked.model_copy(update={"install": install}))
    node = checked.node[0]
    server = Server(tmp_path / "s", serial, macs=(*node.uplink.ports, *node.crossover.ports))
    server.add_disk("sda", 950)
    outcome = server.run(made.either)
    assert outcome.success, outcome.said
    assert not (server.root / "x").exists()
    assert parse(server.fragment("ksbuild-disk.ks")).bootloader.appendLine == argument


def test_systemd_takes_the_unit(example: Plan, tmp_path: Path) -> None:
    (script,) = scripts(example.kickstarts["justinian"], "post")
    found = re.search(r"<<'KSBUILD_UNIT'\n(.*?)^KSBUILD_UNIT$", script, re.DOTALL | re.MULTILINE)
    assert found
    # Debian has no NetworkManager or firewalld unit where the tests run; the order is what counts.
    for name in ("NetworkManager", "firewalld"):
        (tmp_path / f"{name}.service").write_text("[Service]\nExecStart=/bin/true\n")

    def verify(text: str) -> str:
        unit = tmp_path / "ksnode.service"
        unit.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
            capture_output=True, text=True, check=False, env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        )  # fmt: skip
        return done.stderr

    assert "ksnode.service" not in verify(found[1])
    assert "Restrat" in verify(found[1].replace("Restart=", "Restrat="))
    assert "ConditionFirstBoot" not in found[1]
    assert "Before=" not in found[1]


def test_both_nodes_share_one_plan_and_no_partuuid(example: Plan) -> None:
    own = r"    (?:biosboot|esp|boot|swap|root|data)=([0-9a-f-]{36})"
    uuids = [set(re.findall(own, example.kickstarts[n])) for n in NODES]
    assert len(uuids[0]) == len(uuids[1]) == 6
    assert not uuids[0] & uuids[1]
    assert set(re.findall(own, example.either)) == uuids[0] | uuids[1]


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("en_US.UTF-8", "en_US"), ("de_DE.UTF-8@euro", "de_DE"), ("C.UTF-8", "C"), ("sr@x", "sr")],
)
def test_languages_follow_the_locale(locale: str, expected: str) -> None:
    assert kickstart.languages(locale) == expected


def test_optional_commands(root: Path, tmp_path: Path) -> None:
    """Users, proxy, time servers, a tagged uplink, and the medium's own tree without a URL."""
    text = (root / "profiles/example.toml").read_text()
    key = re.search(r'"(ssh-ed25519 .*)"', text)
    assert key
    text = re.sub(r"(\[install\]\n)url = .*\n", r'\1proxy = "http://proxy.example:3128"\n', text)
    text = text.replace(
        "[storage]\n",
        '[[access.users]]\nname = "ada"\ngroups = ["wheel", "libvirt"]\n'
        f'ssh_keys = ["{key[1]}"]\n'
        f'[[access.users]]\nname = "eve"\npassword_hash = "$6$salt${"x" * 86}"\n'
        "[uplink]\nvlan = 88\nmtu = 9000\n[storage]\n",
    )
    (tmp_path / "p.toml").write_text(text)
    handler = parse(plan_of(tmp_path / "p.toml").kickstarts["julius"])
    assert handler.url.url == "file:///run/install/repo"
    assert not handler.url.proxy
    assert [repo.proxy for repo in handler.repo.repoList] == ["http://proxy.example:3128"] * 4
    network = handler.network.network[0]
    assert (network.vlanid, network.mtu, network.bindto) == ("88", "9000", None)
    ada, eve = handler.user.userList
    assert (ada.name, ada.groups, ada.lock) == ("ada", ["wheel", "libvirt"], True)
    assert (eve.name, eve.isCrypted, eve.lock) == ("eve", True, False)
    assert [user.username for user in handler.sshkey.sshUserList] == ["root", "ada"]
    assert [source.ntp_server for source in handler.timesource.dataList()] == ["ntp.example.org"]


@pytest.mark.parametrize("network", [True, False])
def test_a_dvd_installs_from_the_medium(root: Path, network: bool) -> None:
    """install.url is for media without packages; the repositories are still the profile's."""
    profile = load(root / "profiles/example.toml").profile
    install = profile.install.model_copy(update={"proxy": "http://proxy.example:3128"})
    made = planned(profile.model_copy(update={"install": install}), dvd=True, network=network)
    assert made.profile.install.url is None
    handler = parse(made.either)
    assert handler.url.url == "file:///run/install/repo"
    assert not handler.url.proxy
    assert [repo.name for repo in handler.repo.repoList] == REPOSITORIES * network
    assert str(profile.install.url) not in made.either
    assert ("curl" in made.either) is network
    medium = Medium("DVD", False, "linuxefi", "initrdefi", stage2=True, dvd=True)
    line = bootmenu.entries(made.profile, medium)[0].cmdline
    assert ("rd.neednet" in line) is network


def test_registration_and_pinned_keys(root: Path) -> None:
    profile = load(root / "profiles/example.toml").profile
    prints = ("96C0104F6315414709C5C5D0BAADAE52BEEFCAFE", "0" * 40)
    key = kickstart.Key("elrepo", prints, "ARMOUR")
    made = planned(profile, keys=(key,), registration=kickstart.Registration("org 1", "key'1"))
    handler = parse(made.either)
    assert (handler.rhsm.organization, handler.rhsm.activation_keys) == ("org 1", ["key'1"])
    (script,) = scripts(made.either, "post")
    assert "key id (baadae52beefcafe|0000000000000000)" in script
    assert "rpm --import /etc/pki/rpm-gpg/RPM-GPG-KEY-ksbuild-elrepo" in script
    (without,) = scripts(planned(profile).either, "post")
    assert "rpm -" not in without


@pytest.mark.parametrize("works", [True, False])
def test_repositories_of_a_registration(root: Path, tmp_path: Path, works: bool) -> None:
    """Anaconda is told their ids alone; %post keeps them, and no failure there ends it."""
    ids = [f"rhel-9-for-x86_64-{name}-rpms" for name in ("highavailability", "resilientstorage")]
    profile = load(root / "profiles/example.toml").profile
    repositories = [Repository(name=id_) for id_ in ids]
    install = profile.install.model_copy(
        update={"repositories": repositories, "registration_file": "rhsm", "url": None}
    )
    registration = kickstart.Registration("org", "key")
    made = planned(
        profile.model_copy(update={"install": install}), registration=registration, dvd=True
    )
    handler = parse(made.either)
    assert [(repo.name, repo.baseurl) for repo in handler.repo.repoList] == [(i, "") for i in ids]
    lines = made.either.splitlines()
    assert f"repo --name={ids[0]}" in lines
    (pre,) = scripts(made.either, "pre")
    assert "curl" not in pre
    assert "rd.neednet=1" in bootmenu.entries(made.profile, Medium("K", False, "l", "i"))[0].cmdline
    (post,) = scripts(made.either, "post")
    assert "yum.repos.d/ksbuild" not in post
    part = post[post.index("# --- and those of the registration") :]
    part = part[: part.index("install -d")]
    program = tmp_path / "subscription-manager"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\nexit {int(not works)}\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail"], input=part, capture_output=True, text=True, check=True,
        env={"PATH": f"{tmp_path}:/usr/bin"},
    )  # fmt: skip
    enable = " ".join(f"--enable={id_}" for id_ in ids)
    assert (tmp_path / "asked").read_text() == f"repos {enable}\n"
    assert (f"type: subscription-manager repos {enable}" in done.stdout) is not works


def test_the_description_reaches_the_node_and_changes_no_plan(
    example: Plan, changed: Callable[..., Plan]
) -> None:
    told = changed(("[pair]\n", '[pair]\ndescription = "rack 4, asset 1207"\n'))
    assert '"description": "rack 4, asset 1207"' in told.either
    assert told.digest == example.digest
