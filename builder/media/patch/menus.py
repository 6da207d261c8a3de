"""Which files of a source are boot menus, and what takes their place."""

from collections.abc import Mapping

from builder.media.boot import GRUB_CONFIG, ISOLINUX_CONFIG
from builder.media.errors import MediumError
from builder.media.iso9660 import BIOS_IMAGE, CATALOG, EFI_IMAGE
from builder.media.patch.fatfile import FatVolume
from builder.media.patch.overlay import BLOCK, Overlay
from builder.media.patch.records import Record
from builder.media.patch.refusal import unknown_layout

# Older GRUB configurations go by this name; mkksiso edits it, too.
OLD_GRUB_CONFIG = "EFI/BOOT/BOOT.conf"
_FOLDER = ("EFI", "BOOT")
_NAMES = ("grub.cfg", "BOOT.conf")
_CHECK = b"rd.live.check"
# They are held in memory until all is planned.
_MOST_TREE_BYTES = 16 * 1024 * 1024


def check_tree(tree: Mapping[str, bytes], md5: str) -> None:
    """Refuse trees without menus, with loaders, too large, or with a check that could only fail.

    checkisomd5 exits 1 for a wrong sum and for none at all, and the installer then stops.

    Raises:
        MediumError: says which file.
    """
    if missing := {GRUB_CONFIG, ISOLINUX_CONFIG} - tree.keys():
        raise MediumError(f"the tree has no {', '.join(sorted(missing))}", "report this")
    if brought := {BIOS_IMAGE, EFI_IMAGE, CATALOG} & tree.keys():
        raise MediumError(f"the tree brings {', '.join(sorted(brought))}", "report this")
    if (size := sum(map(len, tree.values()))) > _MOST_TREE_BYTES:
        raise MediumError(
            f"the tree has {size} bytes; at most {_MOST_TREE_BYTES} can be laid over a medium",
            "put large files on another medium or server",
        )
    for path in (GRUB_CONFIG, ISOLINUX_CONFIG):
        if md5 == "drop" and _CHECK in tree[path]:
            raise MediumError(
                f"{path} asks for the media check, and --md5 drop leaves nothing to check",
                "use --md5 implant, or take rd.live.check out of the menus",
            )


def efi_volume(image: Overlay, record: Record) -> FatVolume:
    """Open the FAT inside images/efiboot.img."""
    if record.size % 512:
        raise unknown_layout(f"{EFI_IMAGE} is not made of sectors")
    return FatVolume(image, record.extent * BLOCK, record.size)


def replace_in_fat(image: Overlay, record: Record, text: bytes) -> None:
    """Replace every GRUB menu in the FAT: firmware that starts from it never sees the ISO's.

    Raises:
        SourceError: no menu there, or damaged.
        MediumError: no room.
    """
    volume = efi_volume(image, record)
    found = [entry for name in _NAMES for entry in volume.find(*_FOLDER, name)]
    if not found:
        raise unknown_layout(f"{EFI_IMAGE} has no {GRUB_CONFIG}")
    for entry in found:
        volume.replace(entry, text)


def menus_in_fat(image: Overlay, record: Record) -> list[bytes]:
    """Return the content of every GRUB menu in the FAT."""
    volume = efi_volume(image, record)
    return [volume.read(entry) for name in _NAMES for entry in volume.find(*_FOLDER, name)]
