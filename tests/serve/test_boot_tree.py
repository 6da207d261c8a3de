"""ksbuild serve with a tree of ksbuild pxe's."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serve.process import Process, a_port, a_profile, serving
from tests.serve.running import ROOT

KERNEL = "images/pxeboot/vmlinuz"
MAC = "00-25-b3-22-d9-3c"


@pytest.fixture
def tree(tmp_path: Path, demo_source: Path) -> Path:
    made = tmp_path / "tree"
    url = f"http://127.0.0.1:{a_port(tmp_path)}"
    argv = [sys.executable, "-m", "builder", "pxe", str(a_profile(tmp_path))]
    argv += ["--source", str(demo_source), "--url", url, "--out", str(made), "--offline"]
    argv += ["--pxelinux", "/usr/lib/PXELINUX/pxelinux.0"]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return made


def head(process: Process, path: str) -> str:
    """An answer's head, as it is on the wire."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=120) as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def body(process: Process, path: str) -> bytes:
    answered = process.ask(path)
    assert answered.status == 200, path
    return answered.body


def test_the_tree_without_what_is_a_pairs(tree: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--boot", str(tree)) as process:
        kernel = (tree / "http" / KERNEL).read_bytes()
        assert body(process, f"/{KERNEL}") == kernel
        base = f"http://127.0.0.1:{process.port}"
        assert f"chain --autofree --replace {base}/ipxe/".encode() in body(process, "/boot.ipxe")
        assert b"REFUSED" in body(process, "/EFI/BOOT/grub.cfg")
        assert f"\r\nContent-Length: {len(kernel)}\r\n" in head(process, f"/{KERNEL}"), "for GRUB"
        script = body(process, f"/ipxe/{MAC}.ipxe").decode()
        assert f"kernel {base}/{KERNEL} " in script
        assert (
            f"linux (http,127.0.0.1:{process.port})/{KERNEL} "
            in body(process, f"/EFI/BOOT/grub.cfg-01-{MAC}").decode()
        )
        for path in (
            "/pairs/00014/justinian.ks",
            "/pairs/00014/ksbuild.json",
            "/ksbuild-pxe.json",
            "/refused.ipxe",
            "/images/../pairs/00014/justinian.ks",
            "/images/%2e%2e/pairs/00014/justinian.ks",
            "//etc/passwd",
            "/images/pxeboot",
            "/",
        ):
            assert process.ask(path).status == 404, path


def test_who_serves_it_by_tftp(tree: Path, tmp_path: Path) -> None:
    """On the address that it listens on, whatever it is called; for a user who is nobody."""
    before = os.umask(0o077)
    try:
        port = a_port(tmp_path)
        with serving(tmp_path, "--boot", str(tree), "--url", f"http://localhost:{port}"):
            top = next(tmp_path.glob("*.boot"))
            assert "\nlisten-address=127.0.0.1\n" in (top / "dnsmasq.conf").read_text()
            ours = [path for path in (top / "tftp").rglob("*") if not path.is_symlink()]
            assert {path.stat().st_mode & 0o777 for path in ours if path.is_file()} == {0o644}
            folders = (top, top / "tftp", *(path for path in ours if path.is_dir()))
            assert {path.stat().st_mode & 0o777 for path in folders} == {0o755}
    finally:
        os.umask(before)


def test_the_folder_for_tftp(tree: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--boot", str(tree)) as process:
        top = next(tmp_path.glob("*.boot"))
        grub, syslinux = (
            top / f"tftp/EFI/BOOT/grub.cfg-01-{MAC}",
            top / f"tftp/pxelinux.cfg/01-{MAC}",
        )
        for menu in (grub, syslinux):
            text = menu.read_text()
            assert f"inst.ks=http://127.0.0.1:{process.port}/ks/" in text
            assert "inst.ks.sendmac" in text
            assert "KSBUILD_TOKEN" not in text
        for name in ("pxelinux.0", "vesamenu.c32", KERNEL, "EFI/BOOT/BOOTX64.EFI", "grubx64.efi"):
            assert (top / "tftp" / name).read_bytes() == (tree / "tftp" / name).read_bytes()
        assert "REFUSED" in (top / "tftp/pxelinux.cfg/default").read_text()
        assert process.tell("justinian", b"stage=installed&event=done") == 204
        for menu in (grub, syslinux):
            assert "inst.ks" not in menu.read_text()
            assert "local disk" in menu.read_text()
        again = [
            sys.executable,
            "-m",
            "builder",
            "reinstall",
            str(a_profile(tmp_path)),
            "justinian",
        ]
        again += ["--state", str(tmp_path / "state.sqlite")]
        subprocess.run(again, cwd=ROOT, check=True, capture_output=True)
        eventually(lambda: "ksbuild.reinstall=00014-justinian" in grub.read_text())
    checked = subprocess.run(
        ["dnsmasq", "--test", f"--conf-file={top}/dnsmasq.conf"], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dnsmasq"], "--dnsmasq and --pool need --boot TREE"),
        (["--boot", ".", "--tree", "http://10.0.0.1/el9"], "--boot is instead of --tree"),
        (["--boot", "."], "is no tree for network boot"),
        (["--boot", ".", "--url", "http://[fd00::1]"], "is not http://HOST"),
    ],
)
def test_refused(tmp_path: Path, options: list[str], said: str) -> None:
    argv = [sys.executable, "-m", "builder", "serve", str(a_profile(tmp_path))]
    argv += ["--listen", "127.0.0.1:1", "--state", str(tmp_path / "state"), *options]
    done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode in (2, 6)
    assert said in done.stderr
    assert not (tmp_path / "state").exists()
