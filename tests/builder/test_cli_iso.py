"""ksbuild iso: the mode that a source gets, media for one node alone, and what is summed."""

import base64
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from builder.media.inspect import read_tree
from builder.plan import Plan
from tests.builder.server import Server, refused
from tests.builder.test_cli import ksbuild, profile
from tests.media.sources import demo_source, el9_iso, el9_tree, quietly

__all__ = ["demo_source", "el9_iso", "profile"]

MODES = ("patch", "boot", "oemdrv")


def test_a_real_source_is_patched_and_a_demonstration_is_not(
    profile: Path, el9_iso: Path, demo_source: Path, tmp_path: Path
) -> None:
    for source, mode in ((el9_iso, "patch"), (demo_source, "boot")):
        said = ksbuild("iso", profile, "--source", source, "-o", tmp_path / f"{mode}.iso")
        assert said.exit_code == 0, said.output
        assert f"mode {mode}, the default for this source: " in said.output
    assert "labelled  AlmaLinux-9-6-x86_64-dvd" in ksbuild("inspect", tmp_path / "patch.iso").output
    asked = ("--mode", "boot", "-o", tmp_path / "asked.iso")
    said = ksbuild("iso", profile, "--source", el9_iso, *asked)
    assert "mode boot: " in said.output
    assert "labelled  KSBUILD\n" in ksbuild("inspect", tmp_path / "asked.iso").output


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_layout_that_cannot_be_patched_names_the_other_modes(
    profile: Path, demo_source: Path, tmp_path: Path, dry: tuple[str, ...]
) -> None:
    el9_tree(demo_source, tmp_path / "tree")
    source = tmp_path / "source.iso"
    quietly(
        ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(source), str(tmp_path / "tree")]
    )
    output = tmp_path / "pair.iso"
    said = ksbuild("iso", profile, "--source", source, "-o", output, *dry)
    assert said.exit_code == 4
    assert "the source cannot be patched" in said.stderr
    assert "--mode boot" in said.stderr
    assert "--mode oemdrv" in said.stderr
    assert not output.exists()
    assert (
        ksbuild("iso", profile, "--source", source, "-o", output, "--mode", "boot").exit_code == 0
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_medium_for_one_node(profile: Path, el9_iso: Path, tmp_path: Path, mode: str) -> None:
    output = tmp_path / "julius.iso"
    options = ("--source", el9_iso, "--mode", mode, "--node", "julius")
    said = ksbuild("iso", profile, *options, "-o", output)
    assert said.exit_code == 0, said.output
    assert "pair 00014, node julius alone, plan " in said.output
    tree = read_tree(output)
    menus = {"EFI/BOOT/grub.cfg", "isolinux/isolinux.cfg"} if mode != "oemdrv" else set()
    assert set(tree) == {"ks.cfg", "julius.ks", "describe.cfg", "ksbuild.json", *menus}
    assert tree["ks.cfg"] == tree["julius.ks"]
    assert json.loads(tree["ksbuild.json"])["nodes"] == ["julius"]
    for menu in menus:
        assert b"Install julius" in tree[menu]
        assert b"justinian" not in tree[menu]
    assert "pair 00014, node julius alone\n" in ksbuild("inspect", output).output
    assert json.loads(ksbuild("inspect", "--json", output).stdout)["nodes"] == ["julius"]
    same = ksbuild("plan", profile, "--against", output)
    assert (same.exit_code, same.output.splitlines()[-1]) == (0, "nothing differs")


def agent_of(kickstart: bytes) -> bytes:
    """The files of the agent that %post unpacks, one behind the other."""
    found = re.search(rb"<<'KSBUILD_AGENT'[^\n]*\n(.*?)\nKSBUILD_AGENT", kickstart, re.DOTALL)
    assert found
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found[1], validate=False))) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


@pytest.mark.parametrize("mode", MODES)
def test_nothing_introduces_the_other_node(
    profile: Path, el9_iso: Path, tmp_path: Path, mode: str
) -> None:
    output = tmp_path / "pair.iso"

    def found(*options: str) -> set[str]:
        """Of which nodes keys or certificates are on the medium, in any shape."""
        where: tuple[str | Path, ...] = ("--source", el9_iso, "-o", output, "--force")
        assert ksbuild("iso", profile, *where, "--mode", mode, *options).exit_code == 0
        tree = read_tree(output)
        held = [output.read_bytes(), *tree.values(), agent_of(tree["ks.cfg"])]
        nodes = set()
        for name in ("justinian", "julius"):
            for kind in ("key", "crt"):
                lines = (tmp_path / f"pair.keys/{name}.{kind}").read_bytes().splitlines()[1:-1]
                der = base64.b64decode(b"".join(lines))
                # Keys, and certificates, begin alike; the second half is each one's own.
                own = (lines[-2], der, der[len(der) // 2 :], base64.b64encode(der))
                nodes |= {name for part in own if any(part in each for each in held)}
        return nodes

    assert found() == {"justinian", "julius"}
    assert found("--node", "julius") == {"julius"}
    assert found("--node", "justinian") == {"justinian"}


def test_the_other_nodes_hardware_is_unknown_to_it(
    profile: Path, el9_iso: Path, tmp_path: Path, example: Plan
) -> None:
    output = tmp_path / "justinian.iso"
    made = ksbuild("iso", profile, "--source", el9_iso, "--node", "justinian", "-o", output)
    assert made.exit_code == 0, made.output
    kickstart = read_tree(output)["ks.cfg"].decode()
    for number, node in enumerate(example.profile.node):
        macs = (*node.uplink.ports, *node.crossover.ports)
        server = Server(tmp_path / str(number), serial=node.serial or "", macs=macs)
        server.add_disk("sda", 950)
        outcome = server.run(kickstart)
        if node.name == "justinian":
            assert outcome.success, outcome.said
        else:
            assert "this is not justinian" in refused(outcome, "this server is not known")


def test_the_node_of_a_dry_run_and_in_json(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    options = ("iso", profile, "--source", el9_iso, "--node", "julius", "--dry-run")
    said = ksbuild(*options)
    assert said.exit_code == 0
    assert "julius.ks" in said.output
    assert "justinian" not in said.output
    machine = json.loads(ksbuild(*options, "--json").stdout)
    assert machine["nodes"] == ["julius"]
    assert machine["output"] is None
    assert "justinian.ks" not in machine["files"]
    assert [p.name for p in tmp_path.iterdir()] == ["pair.toml"]


def test_media_for_both_nodes_do_not_replace_each_other(
    profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("julius", "justinian"):
        assert ksbuild("iso", profile, "--source", el9_iso, "--node", name).exit_code == 0
    names = {path.name for path in tmp_path.glob("*.iso")}
    assert names == {"pair-julius.iso", "pair-justinian.iso"}


@pytest.mark.parametrize(
    ("name", "guess"), [("julis", "no node julis; did you mean julius?\n"), ("x", "no node x\n")]
)
def test_an_unknown_node(
    profile: Path, el9_iso: Path, tmp_path: Path, name: str, guess: str
) -> None:
    said = ksbuild("iso", profile, "--source", el9_iso, "--node", name, "-o", tmp_path / "x.iso")
    assert said.exit_code == 3
    assert f"{profile} has {guess}" in said.stderr
    assert "next: name justinian or julius" in said.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["pair.toml"], "not even keys"


def test_what_is_summed(
    profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    output = tmp_path / "pair.iso"
    options = ("iso", profile, "--source", el9_iso, "--force", "-o", output)
    for more in ((), ("--mode", "boot", "--md5", "drop")):
        digest = json.loads(ksbuild(*options, *more, "--json").stdout)["sha256"]
        assert digest == hashlib.sha256(output.read_bytes()).hexdigest()
        assert f"{digest}  {output}\n" in ksbuild(*options, *more).output
    dropped = ksbuild(*options, "--md5", "drop")
    assert f"{output}, not summed (--md5 drop)" in dropped.output
    assert json.loads(ksbuild(*options, "--md5", "drop", "--json").stdout)["sha256"] is None


def test_who_interrupts_the_sum_has_a_medium(
    profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builder.media.output.sha256", interrupted)
    output = tmp_path / "pair.iso"
    said = ksbuild("iso", profile, "--source", el9_iso, "-o", output)
    assert said.exit_code == 130
    assert f"{output} is whole" in said.stderr
    assert ksbuild("inspect", output).exit_code == 0


def test_the_earlier_medium_may_be_of_any_kind(
    profile: Path, el9_iso: Path, demo_source: Path, tmp_path: Path
) -> None:
    for number, mode in enumerate(MODES):
        source = demo_source if mode == "boot" else el9_iso
        output = tmp_path / f"{number}.iso"
        assert (
            ksbuild("iso", profile, "--source", source, "--mode", mode, "-o", output).exit_code == 0
        )
        assert ksbuild("plan", profile, "--against", output).exit_code == 0, mode


@pytest.mark.parametrize("command", ["iso", "report"])
def test_the_profile_is_never_replaced(profile: Path, el9_iso: Path, command: str) -> None:
    before = profile.read_bytes()
    source = ("--source", el9_iso) if command == "iso" else ()
    said = ksbuild(command, profile, *source, "-o", profile, "--force")
    assert said.exit_code == 5
    assert f"{profile} is the profile itself" in said.stderr
    assert profile.read_bytes() == before
