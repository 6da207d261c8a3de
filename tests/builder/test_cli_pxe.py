"""ksbuild pxe: one tree for any number of pairs, whole or not at all, nothing stored twice."""

import grp
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import Result

from builder.media.source import open_source
from builder.plan.readback import parse
from tests.builder.test_cli import ROOT, ksbuild, profile
from tests.builder.test_cli_extras import dvd, made, whole_dvd
from tests.media.sources import demo_source, el9_iso

__all__ = ["demo_source", "dvd", "el9_iso", "made", "profile", "whole_dvd"]

URL = "http://10.0.0.5"
# Any file that says so stands for PXELINUX here; tests/media/test_netboot.py starts the real one.
LOADER = b"PXELINUX of nobody\n"


def pxe(*arguments: str | Path, source: Path, out: Path) -> Result:
    options = ("--source", source, "--url", URL, "--out", out, "--offline")
    return ksbuild("pxe", *arguments, *options)


def another(profile: Path, number: int) -> Path:
    """One more pair, with hardware of its own."""
    text = profile.read_text().replace('"00014"', f'"000{number}"')
    text = text.replace("2f0c5a8e", f"2f0c5a{number}").replace("00:25:B3", f"00:{number}:B3")
    text = text.replace("10.0.0.11", f"10.0.{number % 4}.1")
    path = profile.with_name(f"pair{number}.toml")
    path.write_text(text)
    return path


def tree(out: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> mode and content of all files."""
    return {
        str(path.relative_to(out)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_two_pairs_in_one_tree(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    out, loader = tmp_path / "tree", tmp_path / "pxelinux.0"
    loader.write_bytes(LOADER)
    pairs = (profile, another(profile, 21))
    said = pxe(*pairs, "--pxelinux", loader, source=el9_iso, out=out)
    assert said.exit_code == 0, said.output
    assert "pair 00014, plan " in said.output
    assert "00:21:b3:22:e1:3c" in said.output
    assert "sent in clear text" in said.output
    assert "next: build it with --group" in said.output
    assert f"next: nginx with {out}/nginx.conf" in said.output
    found = tree(out)
    with open_source(el9_iso) as source:
        for name in ("BOOTX64.EFI", "grubx64.efi", "mmx64.efi"):
            signed = source.read(f"EFI/BOOT/{name}")
            assert found[f"tftp/EFI/BOOT/{name}"][1] == signed, "as it is signed"
        for name in ("ldlinux.c32", "vesamenu.c32"):
            assert found[f"tftp/{name}"][1] == source.read(f"isolinux/{name}")
        for name in ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"):
            assert found[f"http/{name}"][1] == source.read(name)
    assert found["tftp/pxelinux.0"][1] == LOADER
    assert len([path for path in found if path.startswith("http/ipxe/")]) == 4
    for path in found:
        if path.startswith("tftp/") and f"http/{path[5:]}" in found and "cfg" not in path:
            assert found[path] == found[f"http/{path[5:]}"]
    kernel = (out / "tftp/images/pxeboot/vmlinuz", out / "http/images/pxeboot/vmlinuz")
    assert kernel[0].samefile(kernel[1]), "stored once"


def test_who_may_read_what(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    """Whatever the umask: kickstarts for owner and group, all else for servers as well."""
    group = os.getgid()
    out = tmp_path / "tree"
    for umask in (0, 0o077):
        before = os.umask(umask)
        try:
            name = grp.getgrgid(group).gr_name
            said = pxe(profile, "--group", name, "--force", source=el9_iso, out=out)
        finally:
            os.umask(before)
        assert said.exit_code == 0, said.output
        assert "next: build it with --group" not in said.output
        for path in out.rglob("*"):
            mode, private = stat.S_IMODE(path.stat().st_mode), "pairs/" in str(path)
            wanted = (0o750, 0o755) if path.is_dir() else (0o640, 0o644)
            assert mode == wanted[not private], path
            assert path.stat().st_gid == group
    unknown = pxe(profile, "--group", "no-such-group", "--force", source=el9_iso, out=out)
    assert (unknown.exit_code, "no group no-such-group" in unknown.stderr) == (6, True)


def test_the_introduction_is_in_the_kickstarts_alone(
    profile: Path, el9_iso: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tree"
    assert pxe(profile, source=el9_iso, out=out).exit_code == 0
    keys = tmp_path / "pair.keys"
    secrets = {name: (keys / f"{name}.key").read_bytes() for name in ("justinian", "julius")}
    secrets["link"] = (keys / "link.key").read_bytes().strip()
    holders: dict[str, set[str]] = {name: set() for name in secrets}
    for path, (_, held) in tree(out).items():
        for name, secret in secrets.items():
            if secret in held:
                holders[name].add(path)
        assert (keys / "ca.key").read_bytes() not in held
    own = {name: f"http/pairs/00014/{name}.ks" for name in ("justinian", "julius")}
    assert holders == {
        "justinian": {own["justinian"]},
        "julius": {own["julius"]},
        "link": set(own.values()),
    }


def test_a_dvds_packages_are_linked_when_a_pair_comes_in(
    profile: Path, whole_dvd: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tree"
    first = pxe(profile, source=whole_dvd, out=out)
    assert first.exit_code == 0, first.output
    packages = {path: path.stat().st_ino for path in (out / "http").rglob("*.rpm")}
    assert packages
    kept = out.with_name("kept")
    shutil.copytree(out, kept, copy_function=os.link)  # whoever reads the older one
    more = another(profile, 22)
    second = pxe(profile, more, "--force", source=whole_dvd, out=out)
    assert second.exit_code == 0, second.output
    assert "0 bytes copied, all linked from the tree that was there" in second.output
    assert {path: path.stat().st_ino for path in (out / "http").rglob("*.rpm")} == packages
    read = parse((out / "http/pairs/00022/julius.ks").read_text())
    assert read.url.url == URL
    assert (out / "http/.treeinfo").is_file()
    assert (out / "http/images/install.img").is_file()
    assert not (out / "http/isolinux").exists()
    assert not (out / "http/images/efiboot.img").exists()
    assert tree(kept)["http/pairs/00014/julius.ks"] == tree(out)["http/pairs/00014/julius.ks"]
    # One that was cut short is copied again.
    victim = next(iter(packages))
    victim.unlink()
    victim.write_bytes(b"cut")
    third = pxe(profile, "--force", source=whole_dvd, out=out)
    assert third.exit_code == 0
    assert victim.read_bytes() != b"cut"
    assert not (out / "http/pairs/00022").exists()


def test_extra_packages_go_along(profile: Path, dvd: Path, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "tree"
    options = ("--extra-packages", made)
    said = pxe(profile, *options, source=dvd, out=out)
    assert said.exit_code == 0, said.output
    there = {str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()}
    served = out / "http/ksbuild-extras"
    assert {str(p.relative_to(served)) for p in served.rglob("*") if p.is_file()} == there
    for name in there:
        assert (served / name).read_bytes() == (made / name).read_bytes()
    read = parse((out / "http/pairs/00014/julius.ks").read_text())
    assert {r.name: r.baseurl for r in read.repo.repoList} == {
        "ksbuild-extras": f"{URL}/ksbuild-extras"
    }
    assert read.url.url == URL
    menu = (out / "http/ipxe/00-25-b3-22-e1-3c.ipxe").read_text()
    assert f"inst.stage2={URL} " in menu
    assert "ip=10.0.0.113::" in menu, "there are no packages without a network here"


def test_the_same_input_gives_the_same_bytes(
    profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    out = tmp_path / "tree"
    seen = []
    for _ in range(2):
        assert pxe(profile, "--force", source=el9_iso, out=out).exit_code == 0
        dates = {str(p.relative_to(out)): p.stat().st_mtime for p in out.rglob("*") if p.is_file()}
        seen.append((tree(out), dates))
        if len(seen) == 1:
            shutil.rmtree(out)
    assert seen[0] == seen[1]
    assert seen[0][1]["dnsmasq.conf"] == 1_700_000_000


def test_a_dry_run_writes_nothing_and_checks_all(
    profile: Path, el9_iso: Path, tmp_path: Path
) -> None:
    said = pxe(profile, "--dry-run", source=el9_iso, out=tmp_path / "tree")
    assert said.exit_code == 0
    assert "  http/pairs/00014/julius.ks\n" in said.output
    assert said.output.endswith("dry run: nothing was written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["pair.toml"]
    machine = pxe(profile, "--dry-run", "--json", source=el9_iso, out=tmp_path / "tree")
    read = json.loads(machine.stdout)
    assert (read["schema"], read["output"], read["copied_bytes"]) == ("ksbuild/pxe/1", None, 0)
    assert read["pairs"][0]["nodes"] == {
        "justinian": ["00:25:b3:22:d9:3c"],
        "julius": ["00:25:b3:22:e1:3c"],
    }
    assert "tftp/EFI/BOOT/grub.cfg" in read["files"]


def test_the_manifest_says_what_it_says_in_json(
    profile: Path, el9_iso: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tree"
    said = json.loads(pxe(profile, "--json", source=el9_iso, out=out).stdout)
    manifest = json.loads((out / "ksbuild-pxe.json").read_text())
    assert manifest["schema"] == "ksbuild/pxe-tree/1"
    for key in ("url", "pairs", "source", "files"):
        assert manifest[key] == said[key]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_the_older_tree_stays(
    profile: Path, demo_source: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    out = tmp_path / "tree"
    # A shell that starts something in the background has it ignore SIGINT, and its children too.
    heeding = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    heeding += "runpy.run_module('builder', run_name='__main__', alter_sys=True)"
    argv = [sys.executable, "-c", heeding, "pxe", str(profile), "--source", str(demo_source)]
    argv += ["--url", URL, "--out", str(out), "--offline", "--force"]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    before, made = tree(out), out.stat().st_mtime_ns
    killed = 0
    for delay in (0.0, 0.05, 0.2):
        with subprocess.Popen(
            argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not out.with_name("tree.part").exists():
                time.sleep(0.005)
            time.sleep(delay)
            process.send_signal(sent)
            killed += process.wait() in (-sent, 130)
        assert {path: data[0] for path, data in tree(out).items()} == {
            path: data[0] for path, data in before.items()
        }
        if sent == signal.SIGINT:
            assert not out.with_name("tree.part").exists()
    assert killed
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    assert not out.with_name("tree.part").exists()
    assert out.stat().st_mtime_ns > made
