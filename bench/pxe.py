"""The tree for network boot of many pairs: processor time of each node, and what is stored once.

Made of a DVD with 500 packages and of 200 pairs, each with keys of its own from an earlier build,
as everybody has who adds one. `python -m bench.pxe [PAIRS]`
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench.cli import cpu_seconds
from tests.media.sources import ROOT, demo_iso, el9_tree, master

PAIRS, PACKAGES, PACKAGE_BYTES = 200, 500, 100_000
AIM_MS = 20.0


def make_source(folder: Path) -> Path:
    """Laid out as a DVD; nobody asks its repositories, so that packages may be anything."""
    tree = folder / "tree"
    el9_tree(demo_iso(), tree)
    (tree / "images/install.img").write_bytes(os.urandom(20_000_000))
    for name in ("BaseOS", "AppStream"):
        (tree / name / "repodata").mkdir(parents=True)
        (tree / name / "repodata/repomd.xml").write_text("<repomd/>")
        (tree / name / "Packages").mkdir()
    for number in range(PACKAGES):
        (tree / f"AppStream/Packages/{number}.rpm").write_bytes(os.urandom(PACKAGE_BYTES))
    master(tree, folder / "dvd.iso")
    shutil.rmtree(tree)
    return folder / "dvd.iso"


def make_profiles(folder: Path, count: int) -> list[Path]:
    """The example's pair many times, each with a name, an id and hardware of its own."""
    text = (ROOT / "profiles/example.toml").read_text()
    made = []
    for number in range(count):
        own = text.replace('"00014"', f'"p{number}"').replace("2f0c5a8e", f"{number:08x}")
        own = own.replace('"00:25:B3', f'"00:{number // 256:02X}:{number % 256:02X}')
        network = f'"172.{16 + number // 250}.{number % 250}.'
        own = own.replace('"10.0.0.', network)
        made.append(folder / f"p{number}.toml")
        made[-1].write_text(own.replace("/22", "/24"))
    return made


def build(profiles: list[Path], source: Path, out: Path) -> float:
    """Processor seconds of one build."""
    argv = ["-m", "builder", "pxe", *map(str, profiles), "--source", str(source)]
    argv += ["--url", "http://10.0.0.5", "--out", str(out), "--offline", "--force", "--quiet"]
    return cpu_seconds(argv)


def stored(folder: Path) -> tuple[int, int]:
    """Bytes on the disk, each file once, and bytes as seen by its paths."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({f.st_ino: f.st_size for f in found}.values()), sum(f.st_size for f in found)


def main() -> None:
    """Print the figures; processor time is of user and system."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory(prefix="ksbuild-bench-") as name:
        folder = Path(name)
        source, out = make_source(folder), folder / "tree"
        profiles = make_profiles(folder, pairs)
        first = build(profiles, source, out)
        one = build(profiles[:1], source, out)
        print(f"load {os.getloadavg()[0]:.1f}, a DVD of {source.stat().st_size / 1e6:.0f} MB")
        print(f"  one pair       {one:.2f} s of CPU, its source linked")
        for count in (pairs // 2, pairs):
            seconds = build(profiles[:count], source, out)
            each = (seconds - one) / (2 * count - 2) * 1000
            print(
                f"  {count:4} pairs     {seconds:.2f} s, {each:.1f} ms each node beyond the first"
            )
        print(f"  the first time {first:.2f} s, keys and packages included")
        print(f"  meant to be under {AIM_MS:.0f} ms a node, and linear")
        once, seen = stored(out)
        print(f"  {once / 1e6:.0f} MB stored of {seen / 1e6:.0f} MB served")


if __name__ == "__main__":
    main()
