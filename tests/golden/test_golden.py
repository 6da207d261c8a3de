"""What every shipped profile renders to, file by file; `make golden` writes them anew."""

from pathlib import Path

import pytest

from builder.plan import netboot, node_files, tree
from builder.plan.bootmenu import Medium
from builder.plan.tokens import Progress
from builder.profile.load import load
from builder.resources import templates
from tests.builder.conftest import plan_of, planned

GOLDEN = Path(__file__).parent
MEDIUM = Medium("KSBUILD", False, "linuxefi", "initrdefi")
SITE = netboot.Site("http://192.0.2.10/ksbuild", "/srv/ksbuild", False, True)


def rendered(profile: Path) -> dict[str, str]:
    """Path -> text: the tree of the medium, and each node's files below nodes/NAME/."""
    plan = plan_of(profile)
    files = {path: content.decode() for path, content in tree(plan, MEDIUM, templates()).items()}
    return files | node_files(plan)


def served(profile: Path) -> dict[str, str]:
    """Path -> text of the tree for network boot from a DVD, beside another DHCP server."""
    plan = planned(load(profile).profile, dvd=True, served=SITE.url)
    place = netboot.served(SITE.url, plan.pair.name)
    medium = Medium(netboot.LABEL, False, "linuxefi", "initrdefi", True, True, False, None, place)
    files = netboot.pair_files(plan, medium, SITE, templates())
    files |= netboot.site_files(SITE, netboot.hosts(plan.profile, medium), templates())
    return {path: content.decode() for path, content in files.items()}


@pytest.mark.parametrize("name", ["example", "lab", "example-pxe"])
def test_golden(root: Path, name: str, regenerate: bool) -> None:
    profile = root / f"profiles/{name.removesuffix('-pxe')}.toml"
    files = served(profile) if name.endswith("-pxe") else rendered(profile)
    compare(files, GOLDEN / name, regenerate=regenerate)


def test_progress(root: Path, regenerate: bool) -> None:
    """What is told where a profile names a server: the example's ks.cfg with just that."""
    tokens = {name: f"ksbuild-progress-{name}" for name in ("justinian", "julius")}
    progress = Progress("https://10.0.0.9:8443", tokens, "CERTIFICATE")
    plan = planned(load(root / "profiles/example.toml").profile, progress=progress)
    compare({"ks.cfg": plan.either}, GOLDEN / "progress", regenerate=regenerate)


def compare(files: dict[str, str], folder: Path, *, regenerate: bool) -> None:
    """Each file as it was, and no other; or write them."""
    present = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    if regenerate:
        for stale in present.keys() - files.keys():
            present[stale].unlink()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return
    assert sorted(present) == sorted(files)
    for path, text in files.items():
        assert present[path].read_text() == text, f"{path}: make golden, then read the diff"
