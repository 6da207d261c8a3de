"""Trees as the planner makes them, small, for the media tests."""

from dataclasses import dataclass

import jinja2

from builder.media.source import Source
from tests.media.sources import ROOT

VOLUME_ID = "KSBUILD-TEST"
NODES = ("node-a", "node-b")
CONSOLE = "console=tty0 console=ttyS0,115200 ksbuild.demo=poweroff"


@dataclass(frozen=True)
class Choice:
    """One line of a boot menu."""

    label: str
    title: str
    cmdline: str


def address(node: str) -> str:
    """Return where a node's kickstart is, as inst.ks says it."""
    return f"hd:LABEL={VOLUME_ID}:/ks/{node}.ks"


def choices() -> list[Choice]:
    return [Choice(node, f"install {node}", f"inst.ks={address(node)} {CONSOLE}") for node in NODES]


def render(template: str, source: Source, default: str | None, **changes: object) -> bytes:
    """Render a boot menu as the planner does."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "kickstarts/boot"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  boot menus are not HTML
    )
    values = {
        "title": "pair 00014",
        "demonstration": source.demonstration,
        "entries": choices(),
        "timeout_s": 1,
        "default": default,
        "grub_linux": source.grub_linux,
        "grub_initrd": source.grub_initrd,
        "volume_id": VOLUME_ID,
        "images": "/images/pxeboot",
        "local": "local_disk",
        "installed_mark": "/EFI/ksbuild/pair",
    }
    return environment.get_template(template).render(values | changes).encode()


def make_tree(source: Source, default: str | None) -> dict[str, bytes]:
    """Return a tree whose menu starts `default` after a second, or waits."""
    kickstarts = {f"ks/{node}.ks": f"# {node}\n".encode() * 700 for node in NODES}
    return {
        "isolinux/isolinux.cfg": render("isolinux.cfg.j2", source, default),
        "EFI/BOOT/grub.cfg": render("grub.cfg.j2", source, default),
        "MANIFEST.json": b"{}\n",
        "ks/a-rather-long-node-name.cluster.example.org.ks": b"x",
        "empty": b"",
        **kickstarts,
    }
