"""What ksbuild pxe refuses, warns of, and leaves as it was."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.builder.test_cli import ksbuild, profile
from tests.builder.test_cli_pxe import URL, pxe, tree
from tests.builder.test_cli_rejoin import content, written
from tests.media.sources import demo_source, el9_iso

__all__ = ["content", "demo_source", "el9_iso", "profile"]

REFUSALS: list[tuple[tuple[str, ...], int, str]] = [
    (("--url", "https://10.0.0.5"), 2, "have no certificate to check it with"),
    (("--url", "http://10.0.0.5/a b"), 2, "is not http://HOST"),
    (("--url", "http://user@10.0.0.5"), 2, "is not http://HOST"),
    (("--pool", "10.0.0.9"), 2, "is not FIRST-LAST"),
    (("--pool", "10.0.0.9-10.0.0.3"), 2, "is not FIRST-LAST"),
    (("--pool", "10.9.0.1-10.9.0.3"), 3, "is in no network of the nodes"),
    (("--rejoin", "julius"), 2, "go together"),
]


@pytest.mark.parametrize(("options", "status", "text"), REFUSALS)
def test_what_it_refuses(
    profile: Path, el9_iso: Path, tmp_path: Path, options: tuple[str, ...], status: int, text: str
) -> None:
    said = pxe(profile, source=el9_iso, out=tmp_path / "tree")
    assert said.exit_code == 0
    before = tree(tmp_path / "tree")
    argv = ("--source", el9_iso, "--url", URL, "--out", tmp_path / "tree", "--force", "--offline")
    said = ksbuild("pxe", profile, *argv, *options)
    assert said.exit_code == status, said.output
    assert text in re.sub(r"\s+", " ", said.stderr)
    assert tree(tmp_path / "tree") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pair.keys", "pair.toml", "tree"]


def test_it_replaces_only_what_it_made(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "srv"
    (foreign / "pxelinux.cfg").mkdir(parents=True)
    said = pxe(profile, "--force", source=el9_iso, out=foreign)
    assert said.exit_code == 5
    assert "is not a tree that ksbuild made" in said.stderr
    assert [p.name for p in foreign.iterdir()] == ["pxelinux.cfg"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert pxe(profile, source=el9_iso, out=empty).exit_code == 0
    again = pxe(profile, source=el9_iso, out=empty)
    assert (again.exit_code, "next: add --force to replace it" in again.stderr) == (5, True)
    link = tmp_path / "link"
    link.symlink_to(empty)
    assert "is not a folder" in pxe(profile, "--force", source=el9_iso, out=link).stderr


def test_two_profiles_of_one_pair(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.toml"
    copy.write_text(profile.read_text())
    said = pxe(profile, copy, source=el9_iso, out=tmp_path / "tree")
    assert said.exit_code == 3
    assert "two profiles have the name 00014" in said.stderr
    copy.write_text(
        profile.read_text().replace('"00014"', '"00015"').replace("2f0c5a8e", "2f0c5a00")
    )
    said = pxe(profile, copy, source=el9_iso, out=tmp_path / "tree")
    assert said.exit_code == 3
    assert "00:25:b3:22:d9:3c is justinian's (00014) and justinian's (00015)" in said.stderr
    assert not (tmp_path / "tree").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.toml", "pair.toml"], "no keys"


def test_a_loader_that_is_none(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    said = pxe(profile, "--pxelinux", profile, source=el9_iso, out=tmp_path / "tree")
    assert said.exit_code == 4
    assert "next: take pxelinux.0 of the package syslinux-tftpboot" in said.stderr


def test_a_source_without_packages_needs_an_address(
    profile: Path, el9_iso: Path, tmp_path: Path
) -> None:
    text = re.sub(r'^url = "https://repo.*\n', "", profile.read_text(), flags=re.MULTILINE)
    profile.write_text(text)
    said = pxe(profile, source=el9_iso, out=tmp_path / "tree")
    assert said.exit_code == 3
    assert "pair 00014 installs from the network, and has no install.url" in said.stderr


def test_what_travels_in_clear_text_is_said(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    text = profile.read_text().replace("[install]\n", '[install]\nregistration_file = "r.toml"\n')
    profile.write_text(text.replace("[crossover]\nmode", "[uplink]\nvlan = 88\n[crossover]\nmode"))
    (tmp_path / "r.toml").write_text('organization = "1"\nactivation_key = "canary-key"\n')
    (tmp_path / "r.toml").chmod(0o600)
    out = tmp_path / "tree"
    said = pxe(profile, source=el9_iso, out=out)
    assert said.exit_code == 0, said.output
    assert "pair 00014: its kickstarts carry the activation key" in said.stderr
    assert "pair 00014: the uplink is tagged, firmware starts untagged" in said.stderr
    assert "canary-key" not in said.output
    holders = [path for path, (_, held) in tree(out).items() if b"canary-key" in held]
    assert holders == [f"http/pairs/00014/{name}.ks" for name in ("julius", "justinian")]


def test_a_newcomer_with_its_ticket(
    profile: Path, el9_iso: Path, tmp_path: Path, content: dict[str, Any]
) -> None:
    given, out = written(tmp_path, content), tmp_path / "tree"
    said = pxe(profile, "--rejoin", "julius", "--ticket", given, source=el9_iso, out=out)
    assert said.exit_code == 0, said.output
    assert "justinian" not in said.output
    kickstarts = [path.name for path in (out / "http/pairs/00014").glob("*.ks")]
    assert kickstarts == ["julius.ks"]
    assert content["key"] in (out / "http/pairs/00014/julius.ks").read_text()
    assert [p.name for p in (out / "http/ipxe").iterdir()] == ["00-25-b3-22-e1-3c.ipxe"]
    assert not (tmp_path / "pair.keys").exists()
    two = pxe(profile, profile, "--rejoin", "julius", "--ticket", given, source=el9_iso, out=out)
    assert two.exit_code == 2
