"""`ksbuild iso` and `inspect` need no more memory for a large source than for a small one."""

import gzip
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.media.patch.conftest import tiny_tree
from tests.media.patch.trees import LAYOUTS
from tests.media.sources import ROOT, efiboot, master
from tests.packages.test_metadata import index_of, large

__all__ = ["tiny_tree"]

MEBIBYTE = 1024 * 1024
PACKAGES = 10_000
RESOLVED = r"""
    import re, sys
    from pathlib import Path
    from builder.cli import main

    try:
        main(sys.argv[1:], standalone_mode=False)
    except SystemExit as ended:
        assert ended.code == 4
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""
MEASURED = r"""
    import re, sys
    from pathlib import Path
    from builder.cli import main

    main(sys.argv[1:], standalone_mode=False)
    # Not ru_maxrss, which a process takes over from the one that started it.
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.fixture(scope="module")
def sources(tiny_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same source with a small initrd, with one larger than all the memory allowed, and with as
    many packages as a DVD has."""
    folder = tmp_path_factory.mktemp("sources")
    initrd = tiny_tree / "images/pxeboot/initrd.img"
    before, made = initrd.read_bytes(), []
    for mebibytes in (1, 200):
        with initrd.open("wb") as file:
            file.truncate(mebibytes * MEBIBYTE)
        efiboot(tiny_tree)
        made.append(folder / f"{mebibytes}.iso")
        master(tiny_tree, made[-1])
    initrd.write_bytes(before)
    many = folder / "tree"
    shutil.copytree(tiny_tree, many)
    for number in range(PACKAGES):
        package = (
            many / f"AppStream/Packages/{number % 26:02}/lib{number:05}-1.2.3-4.el9.x86_64.rpm"
        )
        package.parent.mkdir(parents=True, exist_ok=True)
        package.write_bytes(b"package")
    for layout, write in LAYOUTS.items():
        made.append(folder / f"{layout}.iso")
        write(many, made[-1])
    shutil.rmtree(many)
    return made


@pytest.mark.parametrize("mode", ["patch", "boot", "oemdrv"])
def test_peak(sources: list[Path], tmp_path: Path, mode: str) -> None:
    peaks, looking = [], []
    for source in sources:
        options = [
            "iso",
            "profiles/example.toml",
            "--mode",
            mode,
            "--offline",
            "--quiet",
            "--force",
        ]
        files: list[str | Path] = [
            "--source",
            source,
            "--output",
            tmp_path / "out.iso",
            "--keys",
            tmp_path / "keys",
        ]
        peaks.append(peak_mib(*options, *files))
        looking.append(peak_mib("inspect", tmp_path / "out.iso"))
    for each in (peaks, looking):
        assert max(each) < 100
        assert max(each) - min(each) < 5, each


def test_peak_with_the_packages_of_a_dvd(tiny_tree: Path, tmp_path: Path) -> None:
    """The whole command, where it asks the medium's own repository for all that will be needed."""
    tree = tmp_path / "tree"
    shutil.copytree(tiny_tree, tree)
    (tree / "images/install.img").write_bytes(b"installer")
    packages = gzip.compress(large(PACKAGES), 1)
    index_of(tree / "BaseOS", packages, name="primary.xml.gz")
    master(tree, tmp_path / "dvd.iso")
    text = (ROOT / "profiles/example.toml").read_text()
    head, _, tail = text.partition("repositories = [")
    text = head + tail.partition("]\n")[2]
    wanted = f'[install]\npackages = ["p{PACKAGES - 1}"]'
    (tmp_path / "pair.toml").write_text(text.replace("[install]", wanted))
    source: list[str | Path] = [tmp_path / "pair.toml", "--source", tmp_path / "dvd.iso"]
    argv = [sys.executable, "-c", textwrap.dedent(RESOLVED), "iso", *map(str, source), "--dry-run"]
    done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
    # The packages of a node are not there, and nothing else is missing.
    assert "chrony, wanted by the profile, is in none of: BaseOS" in done.stderr
    assert f"p{PACKAGES - 1}" not in done.stderr
    assert int(done.stdout.split()[-1]) * 1024 < 100_000_000


def peak_mib(*arguments: str | Path) -> int:
    """The most memory that a command of ksbuild held."""
    argv = [sys.executable, "-c", textwrap.dedent(MEASURED), *map(str, arguments)]
    done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) // 1024
