"""SELinux labels of what the agent writes, on a kernel that gives a new file its folder's label."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Union

import pytest

from firstboot import commands, files, latches
from firstboot.commands import CommandError, Result
from firstboot.configfile import ConfigFile
from firstboot.journal import Journal
from firstboot.render import hosts
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.guests import Guests
from tests.firstboot.conftest import ScriptedRun, Told, an_identity

FOLDERS = "system_u:object_r:etc_t:s0"
POLICY = "system_u:object_r:net_conf_t:s0"
MOUNTS = "proc /proc proc rw 0 0\n/dev/drbd0 /srv/vmdata gfs2 rw,noatime,nodiratime 0 0\n"
Name = Union[str, Path]


class Labels:
    """Labels by inode, as a file system has them, and a restorecon that knows one type."""

    def __init__(self) -> None:
        self.of: dict[int, str] = {}
        self.restored: list[str] = []
        self.at_rename: list[str] = []
        self.status = 0

    def getxattr(self, path: Name, name: str) -> bytes:
        """getxattr(2) of the one attribute there is."""
        assert name == "security.selinux"
        return self.of.get(os.stat(path).st_ino, FOLDERS).encode() + b"\0"

    def setxattr(self, path: Name, name: str, value: bytes) -> None:
        """setxattr(2)."""
        assert name == "security.selinux"
        self.of[os.stat(path).st_ino] = value.rstrip(b"\0").decode()

    def replace(self, old: Path, new: Path) -> None:
        """rename(2), and the label that came with it."""
        self.at_rename.append(self.getxattr(old, "security.selinux").rstrip(b"\0").decode())
        old.rename(new)

    def run(self, argv: Sequence[str], *, ok: "tuple[int, ...]") -> Result:
        """Run restorecon."""
        assert argv[0] == "restorecon"
        result = Result(tuple(argv), self.status, "", "restorecon: not permitted")
        if self.status not in ok:
            raise CommandError(result)
        for path in argv[1:]:
            self.restored.append(Path(path).name)
            self.of[os.stat(path).st_ino] = POLICY
        return result


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> Labels:
    kernel = Labels()
    for name in ("getxattr", "setxattr", "replace"):
        monkeypatch.setattr(os, name, getattr(kernel, name))
    monkeypatch.setattr(commands, "run", kernel.run)
    return kernel


def test_a_new_file_is_labelled_by_the_policy(tmp_path: Path, labels: Labels) -> None:
    files.replace(tmp_path / "replaced", b"", 0o644)
    files.create(tmp_path / "created", b"", 0o644)
    files.append(tmp_path / "appended", b"1", 0o644)
    files.append(tmp_path / "appended", b"2", 0o644)
    assert labels.restored == ["replaced", "created", "appended"]
    assert {files.label(path) for path in tmp_path.iterdir()} == {POLICY}
    assert (tmp_path / "appended").read_bytes() == b"12"


def test_one_that_takes_anothers_place_takes_its_label(tmp_path: Path, labels: Labels) -> None:
    """At once, without a program: a status is written at every event."""
    target = tmp_path / "status.json"
    target.write_text("old")
    labels.setxattr(target, files.LABEL, b"system_u:object_r:kept_t:s0\0")
    files.replace(target, b"new", 0o644)
    assert files.label(target) == "system_u:object_r:kept_t:s0"
    assert labels.at_rename == ["system_u:object_r:kept_t:s0"]
    assert not labels.restored


def test_configuration_is_labelled_anew_in_one_go(tmp_path: Path, labels: Labels) -> None:
    rendered = (*hosts.render(an_identity()), ConfigFile(PurePosixPath("/etc/b"), "x\n"))
    written = files.write(tmp_path, rendered)
    assert labels.restored == ["hosts", "b"]
    written[0].write_text("spoilt")
    labels.setxattr(written[0], files.LABEL, FOLDERS.encode())
    assert files.write(tmp_path, rendered) == written[:1]
    assert files.label(written[0]) == POLICY
    assert not files.write(tmp_path, rendered)
    assert labels.restored == ["hosts", "b", "hosts"]


def test_the_journal_labels_its_files_once(tmp_path: Path, labels: Labels) -> None:
    journal = Journal(tmp_path, an_identity(), "boot")
    for number in range(3):
        journal("uplink", "waiting", str(number))
    latches.set_once(tmp_path, latches.COMPLETE, "")
    expected = ["journal.jsonl", "status.json", "ksnode.issue", "complete"]
    assert labels.restored == expected


def test_a_label_that_cannot_be_given_is_said(tmp_path: Path, labels: Labels) -> None:
    labels.status = 255
    with pytest.raises(CommandError, match=r"restorecon .* exited 255: restorecon: not"):
        files.write(tmp_path, hosts.render(an_identity()))


def test_without_its_program_there_is_no_policy(tmp_path: Path, labels: Labels) -> None:
    labels.status = commands.NOT_FOUND
    (tmp_path / "x").touch()
    files.relabel([tmp_path / "x"])


@pytest.mark.parametrize("number", [errno.ENODATA, errno.ENOTSUP])
def test_a_kernel_without_labels_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: Labels, number: int
) -> None:
    def getxattr(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "getxattr", getxattr)
    files.write(tmp_path, hosts.render(an_identity()))
    files.replace(tmp_path / "etc/hosts", b"", 0o644)
    assert not labels.restored
    assert not labels.of


def test_a_file_system_just_made_is_labelled_for_guests(tmp_path: Path, labels: Labels) -> None:
    """mkfs.gfs2 gives its root none, and libvirt may not look into what has none."""
    identity, run = an_identity(), ScriptedRun()
    step = Guests(Context(identity, tmp_path, run, Told(), Meeting(identity, tmp_path, "boot")))
    volume = tmp_path / "srv/vmdata"
    volume.mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mounts").write_text(MOUNTS.splitlines()[0] + "\n")
    assert not step._unlabelled()
    (tmp_path / "proc/mounts").write_text(MOUNTS)
    labels.setxattr(volume, files.LABEL, b"system_u:object_r:unlabeled_t:s0\0")
    assert step._unlabelled() == [
        "/srv/vmdata is labelled system_u:object_r:unlabeled_t:s0, not virt_image_t"
    ]
    labels.setxattr(volume, files.LABEL, b"system_u:object_r:virt_image_t:s0\0")
    assert not step._unlabelled()
