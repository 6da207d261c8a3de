"""%post as it was rendered, run below a root of files: what it writes, and who may read it."""

import re
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.plan import Plan
from firstboot.node import SCHEMA, Identity, from_json, partition_uuid
from tests.builder.conftest import LEAF

_HERE = re.compile(r"(<<'(\w+)'[^\n]*\n.*?^\2$)", re.DOTALL | re.MULTILINE)
_OWN = re.compile(r"/(?=(?:dev/(?!stdin|null)|etc/|usr/(?:lib|local|sbin)/|boot/|sys/))")


@dataclass(frozen=True)
class Installed:
    """A new system's root, on whose fifth partition %post finds itself."""

    root: Path

    def run(self, kickstart: str) -> subprocess.CompletedProcess[str]:
        """Run %post from a file, as Anaconda does; only paths outside of here-documents change."""
        (script,) = re.findall(r"^%post[^\n]*\n(.*?)^%end$", kickstart, re.DOTALL | re.MULTILINE)
        parts = _HERE.split(script)
        # Of each here-document split() gives the whole and its delimiter.
        text = [_OWN.sub(f"{self.root}/", part) for part in parts[::3]]
        whole = [text[0]]
        for here, after in zip(parts[1::3], text[1:], strict=True):
            first, rest = here.split("\n", 1)
            whole += [_OWN.sub(f"{self.root}/", first), "\n", rest, after]
        path = self.root / "tmp/ks-script-x"
        path.parent.mkdir()
        path.write_text("".join(whole))
        return subprocess.run(
            ["bash", path], capture_output=True, text=True, check=False, cwd=self.root,
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin"}, umask=0,
        )  # fmt: skip

    def mode(self, path: str) -> int:
        """A file's or folder's permissions."""
        return stat.S_IMODE((self.root / path).stat().st_mode)

    def called(self) -> list[str]:
        """The programs that were stood in for, in order, with their arguments."""
        return (self.root / "called").read_text().replace(str(self.root), "").splitlines()


@pytest.fixture
def installed(example: Plan, tmp_path: Path) -> Installed:
    """julius's system."""
    root = tmp_path / "root"
    links = root / "dev/disk/by-partuuid"
    for folder in (links, root / "bin", root / "sys/class/block/sda5", root / "boot/efi"):
        folder.mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "usr/local/sbin").mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "dev/sda5").touch()
    (root / "sys/class/block/sda5/partition").write_text("5\n")
    (links / partition_uuid(example.pair.id, "julius", "root")).symlink_to(root / "dev/sda5")
    for name, answer in (
        ("findmnt", f"echo {root}/dev/sda5"), ("lsblk", "echo sda"), ("systemctl", ""),
        ("sfdisk", ""), ("sync", ""),
    ):  # fmt: skip
        stub = root / "bin" / name
        stub.write_text(f'#!/bin/sh\necho "{name} $*" >>{root}/called\n{answer}\n')
        stub.chmod(0o755)
    return Installed(root)


@pytest.mark.parametrize("which", ["either", "julius"])
def test_who_may_read_what_it_writes(example: Plan, installed: Installed, which: str) -> None:
    kickstart = {"either": example.either, **example.kickstarts}[which]
    done = installed.run(kickstart)
    assert (done.returncode, done.stderr) == (0, "")
    folder = "etc/ksbuild/introduction"
    modes = {
        "etc/ksbuild/node.json": 0o600,
        **{f"{folder}/{name}": 0o600 for name in ("ca.crt", "node.crt", "node.key", "link.key")},
        folder: 0o700,
        "etc/systemd/system/ksnode.service": 0o644,
        "usr/lib/ksbuild/firstboot.pyz": 0o755,
    }
    assert {path: oct(installed.mode(path)) for path in modes} == {
        path: oct(mode) for path, mode in modes.items()
    }
    written = {p for p in installed.root.glob("etc/ksbuild/**/*") if p.is_file()}
    assert {str(p.relative_to(installed.root)) for p in written} == {
        path for path, mode in modes.items() if mode == 0o600
    }
    identity = from_json((installed.root / "etc/ksbuild/node.json").read_text())
    assert identity == Identity(SCHEMA, "julius", example.pair)
    assert (installed.root / folder / "node.key").read_text() == f"{LEAF.key}\n"
    assert (installed.root / "usr/lib/ksbuild/firstboot.pyz").read_bytes() == b"AGENT"


def test_it_ends_with_what_says_that_it_ended(example: Plan, installed: Installed) -> None:
    done = installed.run(example.either)
    assert done.returncode == 0, done.stderr
    assert not (installed.root / "tmp/ks-script-x").exists(), "it carried the introduction's keys"
    mark = installed.root / f"boot/efi/EFI/ksbuild/{example.pair.id}"
    assert mark.read_text() == "julius\n"
    label = "sfdisk --quiet --no-reread --no-tell-kernel --part-label /dev/sda 5 ks-root"
    assert installed.called()[-1] == label
    assert installed.called().index("systemctl enable ksnode.service") < len(installed.called()) - 1


def test_a_root_that_pre_did_not_make(example: Plan, installed: Installed) -> None:
    done = installed.run(example.kickstarts["justinian"])
    assert done.returncode == 1
    assert "is not a root partition that %pre made" in done.stdout
    assert not (installed.root / "etc/ksbuild").exists()
    assert not any(line.startswith("sfdisk") for line in installed.called())
