"""A node installed from one build of a pair's medium meets the other, installed from another build.

What %post would write is taken off the media, and two real agents' halves meet on loopback.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from firstboot.node import from_json
from firstboot.rendezvous.session import Meeting, NotMet
from tests.media.sources import ROOT

# Others' tests meet at other addresses.
CROSSOVER = {"192.168.40.1/24": "127.0.9.1/24", "192.168.40.2/24": "127.0.9.2/24"}
PORT = 18449


@pytest.fixture
def build(demo_source: Path, tmp_path: Path) -> Callable[..., Path]:
    """Builds a medium of the example, its crossover on loopback, with a folder of keys."""
    profile = tmp_path / "pair.toml"
    text = (ROOT / "profiles/example.toml").read_text()
    for old, new in CROSSOVER.items():
        assert text.count(f'"{old}"') == 1
        text = text.replace(old, new)
    profile.write_text(text)

    def make(name: str, keys: str) -> Path:
        made = tmp_path / f"{name}.iso"
        files: list[str | Path] = [profile, "--source", demo_source, "--output", made]
        options: list[str | Path] = ["--mode", "oemdrv", "--offline", "--keys", tmp_path / keys]
        argv = [sys.executable, "-m", "builder", "iso", *files, *options]
        subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
        return made

    return make


@pytest.fixture
def meet(tmp_path: Path) -> Iterator[Callable[[Path, str], Meeting]]:
    """Starts a node's side with what a medium's %post gives it."""
    made: list[Meeting] = []

    def start(medium: Path, node: str) -> Meeting:
        root = tmp_path / f"root-of-{node}"
        identity = from_json(install(medium, node, root))
        assert identity.node == node
        meeting = Meeting(identity, root, f"boot-of-{node}", port=PORT)
        made.append(meeting)
        meeting.start()
        return meeting

    yield start
    for meeting in made:
        meeting.stop()


def install(medium: Path, node: str, root: Path) -> str:
    """Write a node's introduction below `root` as its %post does; return its node.json."""
    iso = PyCdlib()
    iso.open(str(medium))
    with iso.open_file_from_iso(rr_path=f"/{node}.ks") as file:
        kickstart = bytes(file.read()).decode()
    iso.close()
    put = r"put (/etc/ksbuild/\S+) 0600 <<'(KSBUILD_\w+)'\n(.*?\n)\2\n"
    files: dict[str, str] = {path: text for path, _, text in re.findall(put, kickstart, re.DOTALL)}
    for path, text in files.items():
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).write_text(text)
    return files["/etc/ksbuild/node.json"]


def test_the_same_keys(build: Callable[..., Path], meet: Callable[[Path, str], Meeting]) -> None:
    first = meet(build("one", "keys"), "justinian")
    second = meet(build("two", "keys"), "julius")
    assert first.ask().differences == second.ask().differences == ()
    assert first.ask().boot_id == "boot-of-julius"


def test_a_leaf_made_later(
    build: Callable[..., Path], meet: Callable[[Path, str], Meeting], tmp_path: Path
) -> None:
    """Only the CA was kept: the second build's leaves are new, and known all the same."""
    one = build("one", "keys")
    before = (tmp_path / "keys/julius.key").read_bytes()
    for node in ("justinian", "julius"):
        (tmp_path / f"keys/{node}.key").unlink()
        (tmp_path / f"keys/{node}.crt").unlink()
    first, second = meet(one, "justinian"), meet(build("two", "keys"), "julius")
    assert (tmp_path / "keys/julius.key").read_bytes() != before
    assert first.ask().differences == second.ask().differences == ()


def test_other_keys_are_refused_by_both(
    build: Callable[..., Path], meet: Callable[[Path, str], Meeting]
) -> None:
    first = meet(build("one", "keys"), "justinian")
    second = meet(build("two", "other-keys"), "julius")
    for meeting in (first, second):
        with pytest.raises(NotMet, match="is not of this pair"):
            meeting.ask()
        assert not meeting.agreed()
