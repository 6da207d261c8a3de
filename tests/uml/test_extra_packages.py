"""The folder of extra packages as Linux' own iso9660 driver shows it, and %pre that mounts it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.media.patch.medium import patch_medium
from builder.profile.load import load
from tests.builder.conftest import planned
from tests.media.patch.conftest import tiny_tree
from tests.media.patch.test_folder import NAMES, written
from tests.media.patch.trees import LAYOUTS, SMALL, WHEN
from tests.media.sources import EL9_LABEL
from tests.uml.images import Images, prepare
from tests.uml.installation import run_script
from tests.uml.lab import Lab

__all__ = ["tiny_tree"]

pytestmark = [pytest.mark.uml, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
LIST = """
mkdir -p /tmp/place
for options in ro ro,norock; do
  mount -t iso9660 -o $options /dev/ubda /tmp/place
  grep ' /tmp/place ' /proc/mounts >$options.mounted
  (cd /tmp/place && find . -type f -exec sha256sum {} +) >$options
  umount /tmp/place
done
"""


@pytest.fixture(scope="module")
def images() -> Images:
    return prepare()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_linux_reads_both_trees(
    tiny_tree: Path, tmp_path: Path, images: Images, layout: Callable[[Path, Path], None]
) -> None:
    source, medium, out = tmp_path / "source.iso", tmp_path / "medium.iso", tmp_path / "out"
    layout(tiny_tree, source)
    extras = written(tmp_path / "here", NAMES)
    patch_medium(medium, SMALL, source, when=WHEN, extras=extras)
    with Lab() as lab:
        run_script(lab, images, LIST, disks=[medium], folder=out)
    for options in ("ro", "ro,norock"):
        lines = (out / options).read_text().splitlines()
        found = {line[66:].removeprefix("./"): line[:64] for line in lines}
        there = {path: said for path, said in found.items() if path.startswith("ksbuild-extras/")}
        assert there == {path: file.checksum for path, file in extras.items()}
        assert "ks.cfg" in found
        assert "isolinux/isolinux.bin" in found
    assert "norock" in (out / "ro,norock.mounted").read_text()


PRE = """
printf 'BOOT_IMAGE=vmlinuz inst.ks=hd:LABEL={label}:/ks.cfg quiet\\n' >/tmp/cmdline
mount --bind /tmp/cmdline /proc/cmdline
refuse() {{ echo "REFUSED: $*"; exit 9; }}
. ./part
umount /run/install/repo
umount /proc/cmdline
"""


def test_pre_mounts_the_medium(tiny_tree: Path, tmp_path: Path, images: Images) -> None:
    """The very lines of %pre, where nothing has mounted the medium before."""
    source, medium, out = tmp_path / "source.iso", tmp_path / "medium.iso", tmp_path / "out"
    LAYOUTS["lorax"](tiny_tree, source)
    patch_medium(medium, SMALL, source, when=WHEN, extras=written(tmp_path / "here", NAMES))
    profile = load(ROOT / "profiles/example.toml").profile
    text = planned(profile, extras="ksbuild-extras").either
    (part,) = re.findall(r"^# --- the packages that came along.*?(?=^# --- )", text, re.M | re.S)
    out.mkdir()
    (out / "part").write_text(part)
    with Lab() as lab:
        run_script(lab, images, PRE.format(label=EL9_LABEL), disks=[medium], folder=out)
        assert "REFUSED" not in (out / "script.log").read_text()
        # Without the folder it is refused, and says what it saw.
        shutil.copyfile(source, medium)
        with pytest.raises(Exception, match="does not have the packages of this medium"):
            run_script(lab, images, PRE.format(label=EL9_LABEL), disks=[medium], folder=out)
