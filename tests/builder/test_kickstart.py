"""Rendered kickstarts: what the installer reads, and scripts that its shell can run."""

import re
import subprocess
from pathlib import Path

import pytest

from builder.plan import Plan
from builder.plan.kickstart import KickstartError, parse
from builder.profile.load import parse as parse_profile
from tests.builder.conftest import plan_of

NODES = ["justinian", "julius"]

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
    assert [repo.name for repo in handler.repo.repoList] == ["AppStream"]
    assert handler.rootpw.lock
    assert [key.key for key in handler.sshkey.sshUserList] == example.profile.access.ssh_keys
    assert "python3" in handler.packages.packageList
    assert [group.name for group in handler.packages.groupList] == ["core"]
    kinds = sorted(script.type for script in handler.scripts)
    assert kinds == sorted({script.type for script in handler.scripts}), "one script of each kind"
    assert all(s.errorOnFail for s in handler.scripts if "exit 1" in s.script or "put" in s.script)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("kind", ["pre", "post", "onerror"])
def test_scripts_pass_shellcheck(example: Plan, tmp_path: Path, node: str, kind: str) -> None:
    (script,) = scripts(example.kickstarts[node], kind)
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


@pytest.mark.parametrize("kind", ["pre", "onerror"])
def test_only_programs_the_installer_has(example: Plan, kind: str) -> None:
    (script,) = scripts(example.kickstarts["justinian"], kind)
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
    serial = """a'b"c$(touch x)`x`;\\\\ %end"""
    profile = tmp_path / "p.toml"
    profile.write_text(text.replace('"CZC00014A1"', "'''" + serial + "'''"))
    assert parse_profile(profile.read_bytes(), "p").profile.node[0].serial == serial
    kickstart = plan_of(profile).kickstarts["justinian"]
    (script,) = scripts(kickstart, "pre")
    test = re.search(r'\[ "\$seen_serial" != .*? \]; then$', script, re.MULTILINE)
    assert test
    done = subprocess.run(
        ["bash", "-c", f'read -r seen_serial; if {test[0]} echo other; else echo same; fi'],
        input=serial, capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "same\n"
    assert not (tmp_path / "x").exists()


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
    uuids = [set(re.findall(r"uuid=([0-9a-f-]{36})", example.kickstarts[n])) for n in NODES]
    assert len(uuids[0]) == len(uuids[1]) == 6
    assert not uuids[0] & uuids[1]


def test_the_boot_line_fits_the_kernel(example: Plan) -> None:
    from builder.plan.bootmenu import Medium, entry

    for node in example.profile.node:
        line = entry(example.profile, node, Medium("KSBUILD", False, "linuxefi", "initrdefi"))
        assert line.cmdline.split()[0] == f"inst.ks=hd:LABEL=KSBUILD:/{node.name}.ks"
        assert len(line.cmdline) < 2048  # COMMAND_LINE_SIZE on x86
