"""The empty mount point on a real ext4: the agent makes it, and then not even root writes there."""

import subprocess
import sys
from pathlib import Path

from firstboot import commands, mount
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from tests.firstboot.conftest import Told, an_identity

ROOT = Path(__file__).parents[2]
INSIDE = """
mount --make-rprivate /; mount -o loop "$1" /srv
"$2" -m tests.guests.test_mount_point
touch /srv/vmdata/image 2>&1 && exit 1
mount -t tmpfs tmpfs /srv/vmdata; touch /srv/vmdata/image; umount /srv/vmdata
ls -A /srv/vmdata; chattr -i /srv/vmdata
"""


def prepare() -> None:
    """What the cluster step does about it, and that it finds it done afterwards."""
    identity = an_identity()
    meeting = Meeting(identity, Path("/"), "boot")
    context = Context(identity, Path("/"), commands.run, Told(), meeting)
    print(*mount.unprepared(context), sep="\n")
    mount.prepare(context)
    print(*mount.unprepared(context), sep="\n")


def test_nobody_writes_where_nothing_is_mounted(tmp_path: Path) -> None:
    image = tmp_path / "ext4"
    with image.open("xb") as out:
        out.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", INSIDE, "sh", str(image), sys.executable],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    before, after, refused, *left = done.stdout.splitlines()
    assert (before, after, left) == ("there is no /srv/vmdata", "", [])
    assert "Operation not permitted" in refused


if __name__ == "__main__":
    prepare()
