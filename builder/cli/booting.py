"""What ksbuild serve starts servers from: a tree that ksbuild pxe made, and menus of its own."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.outcome import ENVIRONMENT, fail

if TYPE_CHECKING:
    from builder.plan.bootanswer import Images
    from builder.plan.netboot import Site
    from builder.profile.model import Profile
    from builder.serve.catalog import Catalog
    from builder.serve.run import Boots

_OWN = ("pairs/", "ipxe/", "boot.ipxe", "refused.ipxe", "EFI/BOOT/grub.cfg")


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of ksbuild pxe's. `base` is this server's URL, `state` its state's file, `listen`
    the address that it answers on."""

    folder: Path
    base: str
    state: Path
    demonstration: bool
    listen: str

    @property
    def dvd(self) -> bool:
        """Whether the packages are there."""
        return (self.folder / "http/BaseOS/repodata/repomd.xml").is_file()

    def images(self, profile: "Profile") -> "Images":
        """Where a node gets kernel and installer from: here, as far as they are here."""
        from builder.plan.bootanswer import Images

        here = (self.folder / "http/images/install.img").is_file()
        return Images(self.base, self.base if here else (profile.install.url or "").rstrip("/"))

    def files(self) -> Iterator[tuple[str, str]]:
        """(path in a URL, file) of everything that is no pair's and no menu."""
        top = self.folder / "http"
        for place, _, names in os.walk(top):
            for name in names:
                file = Path(place, name)
                path = file.relative_to(top).as_posix()
                if not path.startswith(_OWN) and file.is_file() and not file.is_symlink():
                    yield path, str(file.resolve())


def read_tree(folder: Path, base: str, state: Path, listen: str) -> Tree:
    """The tree at `folder`; fails where it is none."""
    from builder.media.pxe import INITRD, KERNEL, MANIFEST, SCHEMA
    from builder.plan.netboot import EFI_LOADER, HTTP, TFTP

    then = f"ksbuild pxe PROFILE... --source EL9.iso --url {base} --out {folder}"
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        fail(ENVIRONMENT, f"{folder} is no tree for network boot", then)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        fail(ENVIRONMENT, f"{folder} was made by another version", then)
    for name in (f"{HTTP}/{KERNEL}", f"{HTTP}/{INITRD}", f"{TFTP}/{EFI_LOADER}"):
        if not (folder / name).is_file():
            fail(ENVIRONMENT, f"{folder} is not whole: it has no {name}", then)
    return Tree(folder, base, state, bool(manifest.get("demonstration")), listen)


def lay_out(
    tree: Tree, served: "Catalog", pool: tuple[str, str] | None, *, dnsmasq: bool
) -> "Boots":
    """Write the TFTP server's folder beside the state, and what dnsmasq is to do."""
    from builder.plan import netboot
    from builder.plan.tftpmenus import node_menus
    from builder.resources import templates
    from builder.serve.menus import Menus
    from builder.serve.run import Boots

    top = tree.state.resolve().with_name(f"{tree.state.name}.boot")
    site = netboot.Site(
        url=tree.base,
        folder=str(top),
        demonstration=tree.demonstration,
        pxelinux=(tree.folder / "tftp" / netboot.PXELINUX).is_file(),
        pool=pool,
        listen="" if ":" in tree.listen or tree.listen == "0.0.0.0" else tree.listen,  # noqa: S104 - told apart
    )
    _write_site(tree, served, site, top)
    menus = {
        key: node_menus(node.profile, node.section, site, node.images, templates())
        for key, node in served.nodes.items()
    }
    files = dict(tree.files())
    for name in ("boot.ipxe", "EFI/BOOT/grub.cfg"):
        files[name] = str(top / netboot.HTTP / name)
    return Boots(
        files,
        Menus(top / netboot.TFTP, menus, lambda key, number: served.nodes[key].token(number)),
        top / netboot.DNSMASQ if dnsmasq else None,
    )


def _write_site(tree: Tree, served: "Catalog", site: "Site", top: Path) -> None:
    """Refusals and dnsmasq.conf, and links to the tree's loaders, kernel and initrd."""
    from builder.plan import netboot
    from builder.resources import templates

    hosts = [netboot.host(node.profile, node.section) for node in served.nodes.values()]
    for path, content in netboot.site_files(site, hosts, templates()).items():
        if path != netboot.NGINX:
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_bytes(content)
    for name in (netboot.PXELINUX, "images", "grubx64.efi", *_loaders(tree.folder / "tftp")):
        place, target = top / netboot.TFTP / name, (tree.folder / "tftp" / name).resolve()
        place.unlink(missing_ok=True)
        if target.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
    top.chmod(0o755)
    for place in (top / netboot.TFTP, *(top / netboot.TFTP).rglob("*")):  # TFTP servers are nobody
        if not place.is_symlink():
            place.chmod(0o755 if place.is_dir() else 0o644)


def _loaders(tftp: Path) -> Iterator[str]:
    for pattern in ("*.c32", "EFI/BOOT/*.EFI", "EFI/BOOT/*.efi"):
        for file in tftp.glob(pattern):
            yield file.relative_to(tftp).as_posix()
