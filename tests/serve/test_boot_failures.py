"""ksbuild serve --boot where something is amiss: said at once, with a status, and nothing stays."""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from builder.cli.booting import lay_out, read_tree
from tests.serve.process import a_profile
from tests.serve.running import ROOT, Running, served
from tests.serve.test_cli_serve import ksbuild

FILES = (
    "http/images/pxeboot/vmlinuz",
    "http/images/pxeboot/initrd.img",
    "http/EFI/BOOT/BOOTX64.EFI",
    "tftp/EFI/BOOT/BOOTX64.EFI",
    "http/pairs/99999/stranger.ks",
    "http/ipxe/00-00-5e-00-53-01.ipxe",
    "tftp/EFI/BOOT/grub.cfg-01-00-00-5e-00-53-01",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """As ksbuild pxe makes it, of another pair, and small."""
    for name in FILES:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "tree/ksbuild-pxe.json").write_text('{"schema": "ksbuild/pxe-tree/1"}')
    return tmp_path / "tree"


def argv(folder: Path, tree: Path, state: Path | str, *more: str) -> list[str]:
    options = ["--listen", "127.0.0.1:0", "--url", "http://127.0.0.1", "--boot", str(tree)]
    return ["serve", str(a_profile(folder)), *options, "--state", str(state), *more]


@pytest.mark.parametrize("missing", FILES[:2] + FILES[3:4])
def test_a_tree_that_is_not_whole(tree: Path, tmp_path: Path, missing: str) -> None:
    (tree / missing).unlink()
    done = ksbuild(*argv(tmp_path, tree, tmp_path / "state"))
    assert done.exit_code == 6
    assert f"{tree} is not whole: it has no {missing}" in done.stderr
    assert "next: ksbuild pxe PROFILE... --source EL9.iso" in done.stderr
    assert not list(tmp_path.glob("state*"))


def test_a_tree_of_another_version(tree: Path, tmp_path: Path) -> None:
    (tree / "ksbuild-pxe.json").write_text(json.dumps({"schema": "ksbuild/pxe-tree/2"}))
    done = ksbuild(*argv(tmp_path, tree, tmp_path / "state"))
    assert done.exit_code == 6
    assert f"{tree} was made by another version" in done.stderr
    shutil.rmtree(tree)
    done = ksbuild(*argv(tmp_path, tree, tmp_path / "state"))
    assert done.exit_code == 2
    assert "does not exist" in done.stderr
    assert not list(tmp_path.glob("state*"))


def test_of_a_tree_for_another_pair_only_the_sources_files_are_served(
    tree: Path, tmp_path: Path
) -> None:
    found = read_tree(tree, "http://10.0.0.9:8080", tmp_path / "state", "10.0.0.9")
    boots = lay_out(found, served(), None, dnsmasq=False)
    assert set(boots.files) == {
        "images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "EFI/BOOT/BOOTX64.EFI",
        "boot.ipxe", "EFI/BOOT/grub.cfg",
    }  # fmt: skip
    top = tmp_path / "state.boot"
    menus = {path.name for path in (top / "tftp").rglob("*.cfg*")}
    assert menus == {"grub.cfg"}, "the nodes' own come with the server"
    text = Path(boots.files["EFI/BOOT/grub.cfg"]).read_text()
    assert re.findall(r'"\$port" = (\S+) ', text) == ["00:25:b3:22:d9:3c", "00:25:b3:22:e1:3c"]
    assert "00-00-5e" not in text


def test_a_port_in_use(tree: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        state = tmp_path / "state"
        done = ksbuild(*argv(tmp_path, tree, state, "--dnsmasq", "--listen", where))
    assert done.exit_code == 6
    assert "Address already in use; " in done.stderr.replace("\n", "; ")
    assert not list(tmp_path.glob("state*"))


def test_menus_that_cannot_be_written(tree: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "state.boot/tftp/EFI/BOOT/.grub.cfg-01-00-25-b3-22-d9-3c.part"
    blocked.mkdir(parents=True)
    done = ksbuild(*argv(tmp_path, tree, tmp_path / "state", "--dnsmasq"))
    assert done.exit_code == 6
    assert f"{blocked}: Is a directory" in done.stderr
    assert not (tmp_path / "state.boot/dnsmasq.log").exists(), "it was not started"


def inside(script: str, folder: Path, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """ksbuild in namespaces of its own, set up by a shell script that knows `folder` as $1."""
    setup = f'{script}\nfolder=$1; shift; exec "$@"'
    words = ["unshare", "-Urnm", "sh", "-euc", setup, "sh", str(folder)]
    words += [sys.executable, "-m", "builder", *arguments]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


DISKS = {
    "read-only": ('mount -t tmpfs -o ro none "$1"', "Read-only file system"),
    "full": ('mount -t tmpfs -o size=4k none "$1"; echo >"$1/x"', "database or disk is full"),
    "nearly full": ('mount -t tmpfs -o size=92k none "$1"', "No space left on device"),
}


@pytest.mark.parametrize("name", DISKS)
def test_a_state_that_cannot_be_kept(tree: Path, tmp_path: Path, name: str) -> None:
    script, said = DISKS[name]
    folder = tmp_path / "disk"
    folder.mkdir()
    done = inside(script, folder, argv(tmp_path, tree, folder / "state", "--json"))
    assert done.returncode == 6, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "", "it never said that it serves"


def test_a_dnsmasq_that_ends_at_once(tree: Path, tmp_path: Path) -> None:
    """In a user namespace nobody can become the group that it gives its rights up for."""
    done = inside(
        "ip link set lo up", tmp_path, argv(tmp_path, tree, tmp_path / "state", "--dnsmasq")
    )
    assert done.returncode == 6, done.stderr
    assert "dnsmasq ended with 5: " in done.stderr
    assert "failed to change group-id" in done.stderr
    assert f"next: look at {tmp_path}/state.boot/dnsmasq.conf" in done.stderr
    assert "page: " not in done.stdout
    assert not (tmp_path / "state.boot/dnsmasq.pid").exists()


# Fills the disk, tells until nothing more goes in, makes room, and tells again.
_FILL = """
import sqlite3, sys
from pathlib import Path
from builder.serve.events import Event
from builder.serve.store import Key, Store
folder = Path(sys.argv[1])
store, filler = Store(folder / "state"), folder / "filler"
filler.write_bytes(bytes(100_000))
def tell(number):
    with store.transaction():
        store.hear(Key("pair", f"node{number}"), Event("disk", "waiting", "x" * 4000), 1.0)
told = 0
try:
    while True:
        tell(told)
        told += 1
except sqlite3.OperationalError as error:
    print(error)
filler.unlink()
tell(told)
store.close()
"""


def test_a_full_disk_is_recovered_from(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=400k none "$1"'
    words = ["unshare", "-Urm", "sh", "-euc", f'{script}; exec "$2" -c "$3" "$1"', "sh"]
    done = subprocess.run(
        [*words, str(tmp_path), sys.executable, _FILL],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "database or disk is full\n"


def test_menus_that_can_no_longer_be_written(server: Running) -> None:
    """What a node tells is acknowledged all the same, and whoever looks at the server reads why."""

    class Full:
        def refresh(self, *_: object) -> None:
            raise OSError(28, "No space left on device", "menu")

    server.server.menus = Full()  # type: ignore[assignment]
    assert server.tell("installed", "done").status == 204
    assert "boot menus cannot be written: menu: No space left on device" in server.said
