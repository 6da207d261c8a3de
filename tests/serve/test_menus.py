"""What boot loaders find by TFTP, as the node's right to be installed changes."""

import os
from pathlib import Path

from builder.plan.tftpmenus import TOKEN, NodeMenus
from builder.serve.admission import Allowance
from builder.serve.menus import Menus
from builder.serve.store import Key

NODE, OTHER = Key("pair", "justinian"), Key("pair", "julius")
PATH = "pxelinux.cfg/01-00-25-b3-22-d9-3c"
MENUS = NodeMenus(
    install={PATH: f"install ks/{TOKEN}"},
    again={PATH: f"again ks/{TOKEN}"},
    local={PATH: "local"},
)


def refreshed(menus: Menus, folder: Path, known: Allowance | None, now: float = 0.0) -> str:
    menus.refresh([NODE], lambda _: known, now, 60.0)
    assert not list(folder.rglob("*.part"))
    return (folder / PATH).read_text()


def test_a_menu_follows_what_the_node_may(tmp_path: Path) -> None:
    menus = Menus(tmp_path, {NODE: MENUS}, lambda key, number: f"{key.node}-{number}")
    assert refreshed(menus, tmp_path, Allowance(1, 100.0)) == "install ks/justinian-1"
    assert refreshed(menus, tmp_path, Allowance(1, 100.0), now=100.0) == "local"
    assert refreshed(menus, tmp_path, Allowance(1, 100.0, fetched=5.0), now=64.0).startswith("inst")
    assert refreshed(menus, tmp_path, Allowance(1, 100.0, fetched=5.0), now=65.0) == "local"
    assert refreshed(menus, tmp_path, Allowance(1, 100.0, installed=9.0)) == "local"
    assert refreshed(menus, tmp_path, Allowance(2, 100.0)) == "again ks/justinian-2"
    assert refreshed(menus, tmp_path, None) == "local"


def test_what_is_so_already_is_not_written(tmp_path: Path) -> None:
    menus = Menus(tmp_path, {NODE: MENUS}, lambda key, number: f"{key.node}-{number}")
    refreshed(menus, tmp_path, Allowance(1, 100.0))
    inode = (tmp_path / PATH).stat().st_ino
    refreshed(menus, tmp_path, Allowance(1, 100.0))
    assert (tmp_path / PATH).stat().st_ino == inode
    assert (tmp_path / PATH).stat().st_mode & 0o777 == 0o644


def test_only_those_asked_for(tmp_path: Path) -> None:
    menus = Menus(tmp_path, {NODE: MENUS, OTHER: MENUS}, lambda key, _: key.node)
    refreshed(menus, tmp_path, Allowance(1, 100.0))
    assert (tmp_path / PATH).read_text() == "install ks/justinian"


def test_everybody_may_read_them_whatever_the_umask(tmp_path: Path) -> None:
    """A TFTP server gives up its rights."""
    before = os.umask(0o077)
    try:
        top = tmp_path / "tftp"
        menus = Menus(top, {NODE: MENUS}, lambda key, _: key.node)
        refreshed(menus, top, Allowance(1, 100.0))
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (top, (top / PATH).parent)} == {0o755}
    assert (top / PATH).stat().st_mode & 0o777 == 0o644
