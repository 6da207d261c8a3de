"""`ksbuild iso` in each mode against bad sources, bad places and a sudden end.

Every time: a reason, the exit status, the source untouched, and nothing left behind. (What damage
does to patch mode in detail is in tests/media/patch.)
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from builder.cli import main
from tests.media.mounts import mounted
from tests.media.patch.conftest import tiny_tree
from tests.media.patch.trees import sha256
from tests.media.sources import DISCINFO, EL9_LABEL, ROOT, TREEINFO, master, quietly

__all__ = ["tiny_tree"]

MODES = ("patch", "boot", "oemdrv")
PROFILE, SOURCE, ENVIRONMENT = 3, 4, 6


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """The example in a folder of its own."""
    path = tmp_path / "profile/pair.toml"
    path.parent.mkdir()
    shutil.copy(ROOT / "profiles/example.toml", path)
    return path


def iso(profile: Path, source: Path, output: Path, mode: str, *more: str) -> Result:
    """Run `ksbuild iso`."""
    arguments = ["iso", profile, "--source", source, "--mode", mode, "-o", output, "--offline"]
    return CliRunner().invoke(main, [*map(str, arguments), *more], catch_exceptions=False)


def without_boot_files(tree: Path) -> None:
    (tree / "images/pxeboot/initrd.img").unlink()
    shutil.rmtree(tree / "isolinux")


def release(name: str, version: str, arch: str = "x86_64") -> Callable[[Path], None]:
    """An installer's tree of another release or architecture, in both files that tell."""

    def change(tree: Path) -> None:
        text = TREEINFO.replace("AlmaLinux", name).replace("9.6", version)
        (tree / ".treeinfo").write_text(text.replace("x86_64", arch))
        text = DISCINFO.replace("AlmaLinux", name).replace("9.6", version)
        (tree / ".discinfo").write_text(text.replace("x86_64", arch))

    return change


TREES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no boot files": (without_boot_files, "has no isolinux/isolinux.bin"),
    "EL10": (
        release("AlmaLinux", "10.0"),
        "is AlmaLinux 10.0, not Enterprise Linux 9: there is no GFS2 in Enterprise Linux 10",
    ),
    "EL8": (release("Rocky Linux", "8.10"), "is Rocky Linux 8.10, not Enterprise Linux 9"),
    "Fedora": (release("Fedora", "42"), "is Fedora 42, not Enterprise Linux 9"),
    "aarch64": (release("AlmaLinux", "9.6", "aarch64"), "is for aarch64, not x86_64"),
}


@pytest.fixture(scope="module")
def sources(tiny_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sources nobody can use, by name."""
    folder = tmp_path_factory.mktemp("sources")
    made = {name: folder / f"{name}.iso" for name in (*TREES, "good", "truncated", "random", "udf")}
    master(tiny_tree, made["good"])
    good = made["good"].read_bytes()
    made["truncated"].write_bytes(good[: len(good) * 2 // 3])
    made["random"].write_bytes(random.Random(1).randbytes(len(good)))  # noqa: S311
    for name, (change, _) in TREES.items():
        tree = folder / "tree"
        shutil.copytree(tiny_tree, tree)
        change(tree)
        master(tree, made[name], bootable=(tree / "isolinux").exists())
        shutil.rmtree(tree)
    # Of a bridge only the UDF half is left.
    quietly(
        ["genisoimage", "-quiet", "-udf", "-V", EL9_LABEL, "-o", str(made["udf"]), str(tiny_tree)]
    )
    raw = made["udf"].read_bytes()
    assert b"NSR02" in raw
    made["udf"].write_bytes(raw.replace(b"CD001", b"     "))
    return made


REASONS = {name: reason for name, (_, reason) in TREES.items()}
REASONS |= {"truncated": "cut short", "random": "is not an ISO 9660", "udf": "is not an ISO 9660"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", REASONS)
def test_sources(
    sources: dict[str, Path], profile: Path, tmp_path: Path, mode: str, name: str
) -> None:
    before = sha256(sources[name])
    said = iso(profile, sources[name], tmp_path / "out.iso", mode)
    assert said.exit_code == SOURCE, said.output
    assert REASONS[name] in said.stderr
    assert "next: " in said.stderr
    assert said.stdout == ""
    assert sha256(sources[name]) == before
    assert left(tmp_path) == {"profile/pair.toml"}


def left(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("mode", MODES)
def test_a_full_disk(sources: dict[str, Path], profile: Path, tmp_path: Path, mode: str) -> None:
    """Less room than the smallest medium needs."""
    options = ["-t", "tmpfs", "-o", "size=40k", "tmpfs"]
    with mounted(tmp_path / "small", *options) as folder:
        said = iso(profile, sources["good"], folder / "out.iso", mode)
        assert said.exit_code == ENVIRONMENT, said.output
        assert "free some room" in said.stderr
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_read_only_target(
    sources: dict[str, Path], profile: Path, tmp_path: Path, mode: str
) -> None:
    with mounted(tmp_path / "ro", "-t", "tmpfs", "-o", "ro", "tmpfs") as folder:
        said = iso(profile, sources["good"], folder / "out.iso", mode)
        assert said.exit_code == ENVIRONMENT, said.output
        assert "Read-only file system" in said.stderr
        assert "next: " in said.stderr
        assert list(folder.iterdir()) == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_any_moment(el9_iso: Path, profile: Path, tmp_path: Path, mode: str) -> None:
    """SIGKILL from the first moment to the last; each time the next run begins where that left off.

    An older medium stays until the new one is whole, and the last run's is what an undisturbed one
    makes. The part that a killed run leaves goes with the next.
    """
    output = tmp_path / "pair.iso"
    named: list[str | Path] = [profile, "--source", el9_iso, "--output", output]
    options = ["--mode", mode, "--offline", "--force", "--quiet"]
    argv = [sys.executable, "-m", "builder", "iso", *named, *options]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000", "PYTHONPATH": str(ROOT)}
    before, seconds = sha256(el9_iso), 0.0
    part = output.with_name("pair.iso.part")

    def kill_while_it_writes() -> bool:
        part.unlink(missing_ok=True)
        with subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as it:
            while it.poll() is None and not part.exists():
                time.sleep(0.001)
            it.kill()
        return part.exists()

    def run(limit_s: float | None = None) -> bool:
        with subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as it:
            try:
                assert it.wait(limit_s) == 0
            except subprocess.TimeoutExpired:
                it.kill()
                return False
            return True

    for number in range(12):
        output.write_bytes(b"older")
        started = time.monotonic()
        # Early on, and then ever closer to the end of a whole run, and once behind it.
        whole = run(seconds * number / 10 if seconds else None)
        seconds = seconds or time.monotonic() - started
        made = output.read_bytes()
        assert (made != b"older") == whole or len(made) > 5, "an older medium, or a whole new one"
        if number == 0:
            expected = hashlib.sha256(made).hexdigest()
        elif made != b"older":
            assert hashlib.sha256(made).hexdigest() == expected
        files = {name for name in left(tmp_path) if not name.startswith("profile/")}
        assert files <= {"pair.iso", "pair.iso.part"}
    assert kill_while_it_writes() or mode == "oemdrv", "that one is written in a moment"
    assert run()
    assert sha256(output) == expected
    assert {name for name in left(tmp_path) if name.startswith("pair")} == {"pair.iso"}
    assert sha256(el9_iso) == before
