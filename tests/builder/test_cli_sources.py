"""ksbuild iso: what it takes for a source and what it takes from it."""

import shutil
from pathlib import Path

import pytest

from builder.media import readback
from builder.media.errors import MediumError
from builder.media.inspect import read_tree
from builder.media.source import open_source
from tests.builder.test_cli import ksbuild, profile
from tests.media.patch.conftest import tiny_tree
from tests.media.sources import EL9_LABEL, GRUB_CONFIG, demo_source, efiboot, el9_iso, master

__all__ = ["demo_source", "el9_iso", "profile", "tiny_tree"]

MODES = ("patch", "boot", "oemdrv")


@pytest.fixture(scope="module")
def full(tiny_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source with the installer's image and a repository, as a DVD has them."""
    folder = tmp_path_factory.mktemp("full")
    shutil.copytree(tiny_tree, folder / "tree")
    (folder / "tree/images/install.img").write_bytes(b"squashfs, in its time " * 100_000)
    (folder / "tree/BaseOS/repodata").mkdir(parents=True)
    (folder / "tree/BaseOS/repodata/repomd.xml").write_bytes(b"<repomd/>")
    master(folder / "tree", folder / "full.iso")
    return folder / "full.iso"


@pytest.fixture(scope="module")
def others_work(tiny_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mkksiso leaves: a kickstart's address in every entry, and no manifest."""
    folder = tmp_path_factory.mktemp("others")
    shutil.copytree(tiny_tree, folder / "tree")
    entry = GRUB_CONFIG.replace("quiet", f"inst.ks=hd:LABEL={EL9_LABEL}:/ks.cfg quiet")
    (folder / "tree/EFI/BOOT/grub.cfg").write_text(entry)
    efiboot(folder / "tree")
    master(folder / "tree", folder / "others.iso")
    return folder / "others.iso"


@pytest.mark.parametrize("mode", MODES)
def test_a_medium_of_ours_is_no_source(
    profile: Path, el9_iso: Path, tmp_path: Path, mode: str
) -> None:
    ours, out = tmp_path / "ours.iso", tmp_path / "out.iso"
    assert ksbuild("iso", profile, "--source", el9_iso, "-o", ours).exit_code == 0
    before = ours.read_bytes()
    options = ("iso", profile, "--source", ours, "--mode", mode, "-o", out)
    for more in ((), ("--dry-run",)):
        said = ksbuild(*options, *more)
        assert said.exit_code == 5, said.output
        assert "has ksbuild.json: ksbuild made it from another" in said.stderr
        assert "next: use the distribution's own ISO, or add --force" in said.stderr
        assert not out.exists()
    forced = ksbuild(*options, "--force")
    assert forced.exit_code == 0, forced.output
    assert ours.read_bytes() == before


@pytest.mark.parametrize("mode", MODES)
def test_another_tools_medium_is_no_source(
    profile: Path, others_work: Path, tmp_path: Path, mode: str
) -> None:
    """Beside such a one Anaconda would not even look at a companion."""
    out = tmp_path / "out.iso"
    options = ("iso", profile, "--source", others_work, "--mode", mode, "-o", out)
    said = ksbuild(*options)
    assert said.exit_code == 5
    assert "its boot menu names a kickstart" in said.stderr
    assert not (tmp_path / "pair.keys").exists(), "nothing was made"
    assert ksbuild(*options, "--force").exit_code == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_source_is_never_replaced(
    profile: Path, el9_iso: Path, tmp_path: Path, mode: str
) -> None:
    copy = tmp_path / "el9.iso"
    shutil.copyfile(el9_iso, copy)
    (tmp_path / "link.iso").symlink_to(copy)
    for output in (copy, tmp_path / "link.iso"):
        said = ksbuild("iso", profile, "--source", copy, "--mode", mode, "-o", output, "--force")
        assert said.exit_code == 5
        assert "is the source itself" in said.stderr
    assert copy.read_bytes() == el9_iso.read_bytes()


def test_the_installer_may_come_along(profile: Path, full: Path, tmp_path: Path) -> None:
    """Packages come from the network, stage2 from the medium; without the option both do."""
    out = tmp_path / "boot.iso"
    options = ("iso", profile, "--source", full, "--mode", "boot", "-o", out, "--force")
    assert ksbuild(*options, "--with-stage2").exit_code == 0
    made = out.rename(tmp_path / "with.iso")
    with open_source(full) as source, readback.opened(made, "KSBUILD") as iso:
        there = readback.read(iso, made, "images/install.img")
        assert there == source.read("images/install.img")
        with pytest.raises(MediumError):
            readback.read(iso, made, "BaseOS/repodata/repomd.xml")
    tree = read_tree(made)
    for menu in ("EFI/BOOT/grub.cfg", "isolinux/isolinux.cfg"):
        words = tree[menu].replace(b"'", b"").split()
        assert words.count(b"inst.stage2=hd:LABEL=KSBUILD") == 4
        assert b"rd.neednet=1" in words
    assert b"\nurl --url=https://" in tree["ks.cfg"], "the packages come from install.url"
    seen = ksbuild("inspect", made)
    assert seen.exit_code == 0, seen.output
    same = ksbuild("plan", profile, "--against", made)
    assert (same.exit_code, same.output.splitlines()[-1]) == (0, "nothing differs")
    assert ksbuild(*options).exit_code == 0
    with readback.opened(out, "KSBUILD") as iso, pytest.raises(MediumError):
        readback.read(iso, out, "images/install.img")
    assert b"inst.stage2=https://" in read_tree(out)["EFI/BOOT/grub.cfg"].replace(b"'", b"")


def test_an_installer_that_is_not_there(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    options = ("iso", profile, "--source", el9_iso, "-o", tmp_path / "x.iso", "--with-stage2")
    said = ksbuild(*options, "--mode", "boot")
    assert said.exit_code == 4
    assert "the source has no images/install.img" in said.stderr
    assert ksbuild(*options).exit_code == 2
    assert not (tmp_path / "x.iso").exists()


def test_a_demonstration_is_named_so(
    profile: Path, demo_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair.iso").write_bytes(b"a real one")
    assert ksbuild("iso", profile, "--source", demo_source).exit_code == 0
    one = ksbuild("iso", profile, "--source", demo_source, "--node", "julius")
    assert one.exit_code == 0
    assert "demo-pair-julius.iso\n" in one.output
    again = ksbuild("iso", profile, "--source", demo_source)
    assert again.exit_code == 5
    assert "demo-pair.iso is there already" in again.stderr
    assert (tmp_path / "pair.iso").read_bytes() == b"a real one"
    names = {path.name for path in tmp_path.glob("*.iso")}
    assert names == {"pair.iso", "demo-pair.iso", "demo-pair-julius.iso"}
