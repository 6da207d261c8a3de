"""What `ksnode guest add` does not take, and images that it leaves alone."""

import re
import subprocess
from pathlib import Path

import pytest

from firstboot import files, latches
from firstboot.guest import images
from firstboot.guest.domain import Image
from firstboot.render import libvirt
from tests.firstboot.conftest import ONE_PYTHON
from tests.firstboot.guestlab import DOMAIN, Lab, add, lab

__all__ = ["lab"]
pytestmark = ONE_PYTHON
ISO = (
    '<disk type="file" device="cdrom"><source file="/srv/vmdata/x.iso"/>'
    '<target dev="sda" bus="sata"/></disk>'
)


def break_lease(lab: Lab) -> None:
    path = lab.root / "etc/libvirt/qemu-lockd.conf"
    path.write_text(path.read_text().replace("= 1", "= 0"))


def unmount(lab: Lab) -> None:
    (lab.root / "proc/mounts").write_text("")


def incomplete(lab: Lab) -> None:
    (lab.root / "var/lib/ksbuild" / latches.COMPLETE).unlink()


def second_of_that_disk(lab: Lab) -> None:
    text = DOMAIN.replace(">vm1<", ">web<").replace("vm1.raw", "web.raw")
    lab.image("web.raw")
    (lab.root.parent / "web.xml").write_text(text)
    assert lab.ksnode("add", "web", "--xml", str(lab.root.parent / "web.xml")) == 0
    described = lab.root / "srv/vmdata/guests/web.xml"
    described.write_text(described.read_text().replace("web.raw", "vm1.raw"))


def second_of_that_mac(lab: Lab) -> None:
    second_of_that_disk(lab)
    described = lab.root / "srv/vmdata/guests/web.xml"
    text = described.read_text().replace("vm1.raw", "web.raw")
    described.write_text(re.sub(r"52:54:[0-9a-f:]*", "52:54:00:AB:51:1A", text))


def unreadable(lab: Lab) -> None:
    second_of_that_disk(lab)
    (lab.root / "srv/vmdata/guests/web.xml").unlink()


def left_over(lab: Lab) -> None:
    (lab.root / "srv/vmdata/guests").mkdir()
    (lab.root / "srv/vmdata/guests/vm1.xml").write_text("<domain/>")


def linked(lab: Lab) -> None:
    (lab.root / "srv/vmdata/vm1.raw").unlink()
    (lab.root / "srv/vmdata/vm1.raw").symlink_to("/var/x.raw")


def a_folder(lab: Lab) -> None:
    (lab.root / "srv/vmdata/vm1.raw").unlink()
    (lab.root / "srv/vmdata/vm1.raw").mkdir()


def qcow2(lab: Lab) -> None:
    lab.image("vm1.raw", "qcow2")


def taken_id(lab: Lab) -> None:
    lab.cib.write_text(lab.cib.read_text().replace("ks-dlm-then-vmdata", "vm1-with-vmdata"))


ADDING = {
    "lease": (break_lease, (), "guests would not be leased: /etc/libvirt/qemu-lockd.conf is not"),
    "mount": (unmount, (), "/srv/vmdata is not mounted"),
    "incomplete": (incomplete, (), "this pair is not complete"),
    "disk": (second_of_that_disk, (), "web has the disk /srv/vmdata/vm1.raw as well"),
    "MAC": (second_of_that_mac, (), "web has the MAC 52:54:00:ab:51:1a as well"),
    "unreadable": (unreadable, (), "/srv/vmdata/guests/web.xml, web's XML, can't be read"),
    "left over": (left_over, (), "guests/vm1.xml is there already, of a guest that was removed"),
    "link": (linked, (), "/srv/vmdata/vm1.raw is a link to /var/x.raw"),
    "folder": (a_folder, (), "/srv/vmdata/vm1.raw is not a file"),
    "format": (qcow2, (), "/srv/vmdata/vm1.raw is qcow2, and described as raw"),
    "id": (taken_id, (), "the CIB has vm1-with-vmdata already"),
    "node": (None, ("--prefer", "nero"), "nero is none of justinian and julius"),
    "after": (None, ("--after", "web"), "there is no guest web to start after"),
    "priority": (None, ("--priority", "-1"), "a priority is 0 to 1000"),
    "size": (None, ("--size", "1M"), "--size 1M is for one image that is not there"),
    "both": (None, ("--", "--import"), "it takes a file of XML, or arguments for virt-install"),
}


@pytest.mark.parametrize("case", ADDING)
def test_what_is_not_added(lab: Lab, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    meddle, typed, words = ADDING[case]
    image = lab.image()
    if meddle:
        meddle(lab)
    cib, disk = lab.configuration(), image.read_bytes() if image.is_file() else b""
    assert add(lab, *typed) == 5
    said = capsys.readouterr().err
    assert words in said
    assert "\nnext: " in said
    assert lab.configuration() == cib
    assert not image.is_file() or image.read_bytes() == disk


def test_what_no_file_is(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.ksnode("add", "vm1", "--xml", "/nowhere") == 5
    assert lab.ksnode("add", "vm1") == 5
    assert lab.ksnode("list", "--", "x") == 2
    assert add(lab) == 5
    said = capsys.readouterr().err
    assert "/nowhere can't be read" in said
    assert "it takes a file of XML, or arguments" in said
    assert "unrecognized arguments: x" in said
    create = "qemu-img create -q -f raw -o preallocation=falloc /srv/vmdata/vm1.raw 20G"
    assert f"not there: /srv/vmdata/vm1.raw\nnext: --size 20G for a new one; or: {create}" in said


def test_an_iso_has_to_be_there(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    file = lab.place(text=DOMAIN.replace("</devices>", f"{ISO}</devices>"))
    assert lab.ksnode("add", "vm1", "--xml", str(file)) == 5
    assert "/srv/vmdata/x.iso is not there" in capsys.readouterr().err
    lab.image("x.iso")
    assert lab.ksnode("add", "vm1", "--xml", str(file)) == 0


def test_twice(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image()
    assert add(lab) == 0
    assert add(lab) == 5
    assert "vm1 is a guest of this pair already" in capsys.readouterr().err


def test_an_image_that_is_there_by_now_is_kept(lab: Lab) -> None:
    image = lab.image()
    image.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        images.make(lab.root, Image("/srv/vmdata/vm1.raw", "raw"), "1M", lab)
    assert image.read_bytes() == b"precious"
    assert [path.name for path in image.parent.iterdir()] == ["vm1.raw"]


def test_a_local_base_of_an_image(lab: Lab, tmp_path: Path) -> None:
    base = tmp_path / "base.raw"
    base.write_bytes(b"x" * 4096)
    image = lab.image("vm1.qcow2", "qcow2", "-b", str(base), "-F", "raw")
    argv = ["qemu-img", "info", "--output=json", str(image)]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    wanted = Image("/srv/vmdata/vm1.qcow2", "qcow2")
    assert images.judged(shown, wanted, "/srv/vmdata") == [
        f"/srv/vmdata/vm1.qcow2 is based on {base}, which the other node does not have"
    ]
    assert not images.judged(shown, wanted, str(tmp_path))


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["--disk", "/srv/vmdata/a.raw,size=20"], {"/srv/vmdata/a.raw": "20480M"}),
        (["--disk=path=/srv/vmdata//a,size=0.5"], {"/srv/vmdata/a": "512M"}),
        (["--disk", "size=1,path=/b", "--disk", "/c"], {"/b": "1024M"}),
        (["--memory", "/a,size=1"], {}),
        (["--disk", "/a,size=x"], {}),
        ([], {}),
    ],
)
def test_sizes_in_virt_installs_words(typed: "list[str]", found: "dict[str, str]") -> None:
    assert images.sizes(typed) == found


def test_leases_are_what_is_rendered(lab: Lab) -> None:
    """What add looks at is what the step lays, and nothing is missing from it here."""
    kept = [f for f in libvirt.render(lab.identity) if f.path.name.startswith("qemu")]
    assert len(kept) == 2
    assert not files.differing(lab.root, kept)
