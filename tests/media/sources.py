"""The ISOs that tests build media from: the demonstration source and one with EL9's shape.

Both are made once and kept in build/tests, named after what they were made from.
"""

import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.demo.assemble import assemble
from builder.media.source import REQUIRED, open_source

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build/tests"
DEMO_CACHE = ROOT / "build/demo-cache"
EL9_LABEL = "AlmaLinux-9-6-x86_64-dvd"

# The shape pungi gives it (productmd, treeinfo 1.2).
TREEINFO = """\
[general]
; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.
; WARNING.1 = Read productmd documentation for details about new format.
arch = x86_64
family = AlmaLinux
name = AlmaLinux 9.6
packagedir = AppStream/Packages
platforms = x86_64,xen
repository = AppStream
timestamp = 1747400000
variant = AppStream
variants = AppStream,BaseOS
version = 9.6

[header]
type = productmd.treeinfo
version = 1.2

[images-x86_64]
efiboot.img = images/efiboot.img
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[release]
name = AlmaLinux
short = AlmaLinux
version = 9.6

[stage2]
mainimage = images/install.img

[tree]
arch = x86_64
build_timestamp = 1747400000
platforms = x86_64,xen
variants = AppStream,BaseOS
"""
DISCINFO = "1747400000.123456\nAlmaLinux 9.6\nx86_64\n"
GRUB_CONFIG = f"""\
set default="1"
function load_video {{
  insmod all_video
}}
load_video
set timeout=60
search --no-floppy --set=root -l '{EL9_LABEL}'
menuentry 'Install AlmaLinux 9.6' --class fedora --class gnu-linux --class gnu --class os {{
\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL={EL9_LABEL} quiet
\tinitrdefi /images/pxeboot/initrd.img
}}
"""


def _digest(*paths: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def _kept(kind: str, digest: str) -> Path:
    """Return the file's place; versions older than a day go, as another run may use the others."""
    KEPT.mkdir(parents=True, exist_ok=True)
    place = KEPT / f"{kind}-{digest}.iso"
    for old in KEPT.glob(f"{kind}-*.iso"):
        if old != place and old.stat().st_mtime < time.time() - 86400:
            old.unlink(missing_ok=True)
    return place


def demo_iso() -> Path:
    """The demonstration source, built from the code as it stands."""
    code = [
        *(ROOT / "builder/demo").glob("*.[ps][yh]"),
        *(ROOT / "builder/media").glob("*.py"),
    ]
    place = _kept("demo", _digest(*code))
    if not place.exists():
        assemble(place, cache=DEMO_CACHE, force=True)  # another run may have been quicker
    return place


@pytest.fixture(scope="session")
def demo_source() -> Path:
    """The same, for tests."""
    return demo_iso()


def el9_shaped_iso(demo: Path) -> Path:
    """An ISO laid out as an AlmaLinux 9 DVD; its kernel and initrd are the demonstration's."""
    return mastered("el9", demo, master)


@pytest.fixture(scope="session")
def el9_iso(demo_source: Path) -> Path:
    """The same, for tests."""
    return el9_shaped_iso(demo_source)


@pytest.fixture(scope="session")
def pungi9_iso(demo_source: Path) -> Path:
    """The same files, mastered the other way that pungi knows: genisoimage and isohybrid."""
    return mastered("pungi9", demo_source, master_pungi)


def mastered(
    kind: str, demo_source: Path, mastered_by: Callable[[Path, Path], None], *made_from: Path
) -> Path:
    """An ISO that mastered_by(tree, iso) writes of EL9's tree, and of what else it is made from."""
    place = _kept(kind, _digest(demo_source, Path(__file__), *made_from))
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix=f"ksbuild-{kind}-") as name:
            folder = Path(name)
            el9_tree(demo_source, folder / "tree")
            mastered_by(folder / "tree", folder / "new.iso")
            # Another file system than the temporary folder's would make a rename fail.
            shutil.copyfile(folder / "new.iso", place.with_suffix(".part"))
        place.with_suffix(".part").rename(place)
    return place


def el9_tree(demo_source: Path, tree: Path) -> None:
    """Lay the demonstration's loaders, kernel and initrd out as on an EL9 medium."""
    with open_source(demo_source) as source:
        for name in REQUIRED:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(source.read(name))
    for name in ("EFI/BOOT/mmx64.efi", "EFI/BOOT/fonts/unicode.pf2"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(f"{name}\n".encode() * 500)
    (tree / "EFI/BOOT/grub.cfg").write_text(GRUB_CONFIG)
    (tree / "isolinux/isolinux.cfg").write_text("default vesamenu.c32\n")
    (tree / ".treeinfo").write_text(TREEINFO)
    (tree / ".discinfo").write_text(DISCINFO)
    efiboot(tree)


def efiboot(tree: Path) -> None:
    """Make images/efiboot.img as lorax' mkefiboot does: a FAT of EFI/ and half a MiB of room."""
    image = tree / "images/efiboot.img"
    image.unlink(missing_ok=True)
    content = sum(file.stat().st_size + 2048 for file in (tree / "EFI").rglob("*"))
    size_kib = str(content // 1024 + 512)
    quietly(["mkfs.msdos", "-C", "-n", "ANACONDA", "-i", "4b534255", str(image), size_kib])
    quietly(["mcopy", "-s", "-i", str(image), str(tree / "EFI"), "::"])


def quietly(command: list[str]) -> None:
    """Run a program that has to succeed."""
    subprocess.run(command, check=True, capture_output=True)


def master(tree: Path, iso: Path, *, bootable: bool = True) -> None:
    """Write an ISO as lorax' x86.tmpl does, with xorriso."""
    boot = "-b isolinux/isolinux.bin -c isolinux/boot.cat -boot-load-size 4 -boot-info-table"
    boot += " -no-emul-boot -eltorito-alt-boot -e images/efiboot.img -no-emul-boot"
    boot += " -isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin -isohybrid-gpt-basdat"
    names = ["-R", "-J", "-V", EL9_LABEL, "-o", str(iso), str(tree)]
    quietly(["xorriso", "-as", "mkisofs", "-quiet", *(boot.split() if bootable else ()), *names])


def master_pungi(tree: Path, iso: Path) -> None:
    """Write an ISO as pungi does without createiso_use_xorrisofs (pungi/createiso.py)."""
    options = "-untranslated-filenames -J -joliet-long -rational-rock -translation-table"
    options += " -input-charset utf-8 -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot"
    options += " -boot-load-size 4 -boot-info-table -eltorito-alt-boot -e images/efiboot.img"
    names = ["-no-emul-boot", "-V", EL9_LABEL, "-o", str(iso), str(tree)]
    quietly(["genisoimage", "-quiet", *options.split(), *names])
    quietly(["isohybrid", "--uefi", str(iso)])
