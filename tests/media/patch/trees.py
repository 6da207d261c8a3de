"""Trees for patched media, and short ways to make and look at one."""

import hashlib
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from builder.media.patch.medium import Md5, Patched, patch_medium
from builder.media.source import open_source
from tests.media.menus import CONSOLE, NODES
from tests.media.sources import EL9_LABEL, master, master_pungi

WHEN = 1_700_000_000
LAYOUTS: dict[str, Callable[[Path, Path], None]] = {"lorax": master, "pungi": master_pungi}
MENUS = {"EFI/BOOT/grub.cfg": b"# ours\n" * 40, "isolinux/isolinux.cfg": b"# ours, too\n" * 30}
SMALL = {**MENUS, "ks.cfg": b"# one\n", "ksbuild.json": b"{}\n", "empty": b""}
# Four kickstarts with an agent inside just fit into the 300 KiB of padding of either layout.
FOUR = {**SMALL, **{f"node-{n}.ks": n.encode() * 60_000 for n in "abcd"}}
# These do not, even when the image was rounded up to a whole MiB.
BIG = {**SMALL, **{f"node-{n}.ks": n.encode() * 500_000 for n in "abcd"}}
# Enough records to fill the root folder's block, so that it has to move.
MANY = {**SMALL, **{f"a-long-name-of-node-{n:02}.example.ks": b"%d" % n for n in range(14)}}
# Menus that need more clusters inside the FAT than the stock one.
LONG_MENUS = {
    **SMALL,
    "EFI/BOOT/grub.cfg": b"# a longer menu\n" * 3000,
    "isolinux/isolinux.cfg": b"# long\n" * 999,
}
TREES = {
    "small": SMALL,
    "four": FOUR,
    "big": BIG,
    "many": MANY,
    "long menus": LONG_MENUS,
    "all": BIG | MANY,
}


def address(node: str) -> str:
    """Return where a node's kickstart is, as inst.ks says it; the label stays the source's."""
    return f"hd:LABEL={EL9_LABEL}:/{node}.ks"


def bootable_tree(source_iso: Path, default: str | None, *, bytes_each: int) -> dict[str, bytes]:
    """Return a tree whose menu starts `default` after a second."""
    commands = {node: f"inst.ks={address(node)} {CONSOLE}" for node in NODES}
    with open_source(source_iso) as source:
        linux, initrd = source.grub_linux, source.grub_initrd
    grub = f"set default='{default}'\nset timeout={1 if default else -1}\n"
    isolinux = "serial 0 115200\nui vesamenu.c32\n"
    isolinux += f"default {default}\ntimeout 10\n" if default else "timeout 0\n"
    grub += f"search --no-floppy --set=root --label '{EL9_LABEL}'\n"
    for node, command in commands.items():
        grub += f"menuentry 'install {node}' --id '{node}' {{\n"
        grub += f"  {linux} /images/pxeboot/vmlinuz {command}\n"
        grub += f"  {initrd} /images/pxeboot/initrd.img\n}}\n"
        isolinux += f"label {node}\n  menu label install {node}\n"
        isolinux += "  kernel /images/pxeboot/vmlinuz\n"
        isolinux += f"  append initrd=/images/pxeboot/initrd.img {command}\n"
    menus = {"EFI/BOOT/grub.cfg": grub.encode(), "isolinux/isolinux.cfg": isolinux.encode()}
    kickstarts = {
        f"{node}.ks": (f"# {node}\n".encode() * (bytes_each // 9 + 1))[:bytes_each]
        for node in NODES
    }
    return {**menus, **kickstarts, "ksbuild.json": b"{}\n"}


def patched(
    source: Path, folder: Path, tree: Mapping[str, bytes], md5: Md5 = "implant"
) -> tuple[Path, Patched]:
    """Patch into `folder` and return the medium, sure that the source stayed as it was."""
    before = sha256(source)
    out = folder / "patched.iso"
    done = patch_medium(out, tree, source, when=WHEN, md5=md5, force=True)
    assert sha256(source) == before
    return out, done


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def said(*command: str | Path, status: int = 0) -> str:
    """Return what a program says on both outputs; it has to end with `status`."""
    result = subprocess.run(
        [str(word) for word in command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert result.returncode == status, result.stdout.decode("utf-8", "replace")
    return result.stdout.decode("utf-8", "replace")


def extracted(iso: Path, folder: Path) -> dict[str, bytes]:
    """Return every file of an ISO as xorriso extracts it."""
    said("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", folder)
    said("chmod", "-R", "u+rwX", folder)
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
