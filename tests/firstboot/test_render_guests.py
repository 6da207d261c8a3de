"""libvirt's and ksmtuned's files, each through the program that will read it, or its grammar."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot.node import Identity
from firstboot.render import ksm, libvirt
from tests.firstboot.conftest import an_identity

# libvirt takes no notice of a key it does not know; its own grammars for augeas do.
LENSES = {
    "qemu.conf": "Libvirtd_qemu",
    "qemu-lockd.conf": "Libvirt_lockd",
    "virtproxyd.conf": "Libvirtd",  # the same keys, less what is not libvirtd's
}
FILES = {file.path.name: file for file in libvirt.render(an_identity())}
SERVICE = "Service=virtproxyd.service\n"
KSMTUNED = Path("/usr/sbin/ksmtuned")


def program(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def understood(root: Path, name: str, text: str) -> str:
    """What augeas makes of a file of libvirt's, "" when its grammar does not allow it."""
    (root / "etc/libvirt").mkdir(parents=True, exist_ok=True)
    (root / "etc/libvirt" / name).write_text(text)
    lens = f"{LENSES[name]} incl /etc/libvirt/{name}"
    return program("augtool", "-L", "-A", "-r", str(root), "-t", lens, "print /files").stdout


@pytest.mark.parametrize("name", LENSES)
def test_libvirts_grammars_allow_it(tmp_path: Path, name: str) -> None:
    text = FILES[name].text
    keys = re.findall(r"^(\w+) =", text, re.MULTILINE)
    found = understood(tmp_path, name, text)
    assert keys
    assert all(f"/{name}/{key}" in found for key in keys), found
    assert f"/{name}/" not in understood(tmp_path, name, text.replace(keys[-1], keys[-1] + "x"))


def test_a_guests_key_is_not_the_nodes() -> None:
    readable = {c.name for c in libvirt.CREDENTIALS if c.group != "root" or c.mode & 0o007}
    assert readable == {"ca.crt", "node.crt", "guests.crt", "guests.key"}
    assert {c.mode for c in libvirt.CREDENTIALS if c.name.endswith(".key")} == {0o600, 0o640}


def test_the_pool_is_valid(tmp_path: Path) -> None:
    pool = tmp_path / "pool.xml"
    pool.write_text(FILES["pool.xml"].text)
    done = program("virt-xml-validate", str(pool), "storagepool")
    assert done.returncode == 0, done.stderr
    pool.write_text(FILES["pool.xml"].text.replace("path>", "paths>"))
    assert program("virt-xml-validate", str(pool), "storagepool").returncode != 0
    peers = {file.path.name: file for file in libvirt.render(an_identity("julius"))}
    assert peers["pool.xml"] == FILES["pool.xml"]


def lay_socket(root: Path, drop_in: str) -> str:
    """A socket and its service as the node has them, with our drop-in over the socket."""
    units = root / "lib/systemd/system"
    shutil.copytree("/lib/systemd/system", units, symlinks=True)
    (units / "virtproxyd-tls.socket").write_text("[Socket]\nListenStream=16514\n" + SERVICE)
    (units / "virtproxyd.service").write_text("[Service]\nExecStart=/usr/sbin/virtproxyd\n")
    (root / "usr/sbin").mkdir(parents=True)
    shutil.copy("/bin/true", root / "usr/sbin/virtproxyd")
    target = root / libvirt.SOCKET.relative_to("/")
    target.parent.mkdir(parents=True)
    target.write_text(drop_in)
    done = program("systemd-analyze", f"--root={root}", "--man=no", "--recursive-errors=no",
                   "verify", "virtproxyd-tls.socket")  # fmt: skip
    return done.stdout + done.stderr


def test_systemd_takes_the_sockets_drop_in(tmp_path: Path) -> None:
    text = FILES["ksbuild.conf"].text
    assert text.endswith("\nListenStream=\nListenStream=127.0.7.1:16514\nFreeBind=yes\n")
    assert not lay_socket(tmp_path / "good", text)
    assert "FreeBound" in lay_socket(tmp_path / "bad", text.replace("FreeBind", "FreeBound"))


def test_no_ksm_where_the_kernel_has_none() -> None:
    assert not ksm.render(an_identity(platform="debian12-lab"))


def test_ksmtuned_knows_every_key() -> None:
    keys = set(re.findall(r"^(\w+)=", ksm.render(an_identity())[0].text, re.MULTILINE))
    read = set(re.findall(r"\$\{(KSM_\w+):-", KSMTUNED.read_text()))
    assert keys == read
    assert "KSM_SLEEP" not in read  # the article's own script called it so


def tuned(folder: Path, identity: Identity) -> dict[str, str]:
    """What the real ksmtuned reckons from our file, on a node of 32 GiB with less than 1 free."""
    meminfo = "MemTotal: 33554432 kB\nMemFree: 900000 kB\nBuffers: 1 kB\nCached: 1 kB\n"
    (folder / "conf").write_text(ksm.render(identity)[0].text + "DEBUG=1\nLOGFILE=/run/log\n")
    (folder / "meminfo").write_text(meminfo)
    for name in ("run", "pages_to_scan", "sleep_millisecs"):
        (folder / name).touch()
    script = (
        "mount -t tmpfs tmpfs /run; mkdir /run/bin; cp $1/meminfo /run/;"
        # One look instead of one a minute, and for ever.
        " sed 's,/proc/meminfo,/run/meminfo,; /^PIDFILE=/,$d' /usr/sbin/ksmtuned > /run/ksmtuned;"
        " echo adjust >> /run/ksmtuned; echo 'echo interval $KSM_MONITOR_INTERVAL >> $LOGFILE'"
        " >> /run/ksmtuned; mount --bind $1/conf /etc/ksmtuned.conf;"
        " mount --bind $1 /sys/kernel/mm/ksm; bash /run/ksmtuned; cat /run/log"
    )
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]
    done = subprocess.run([*argv, folder], capture_output=True, text=True, check=True)
    names = ("run", "pages_to_scan", "sleep_millisecs")
    found = {name: (folder / name).read_text().strip() for name in names}
    found["interval"] = re.findall(r"interval (\d+)", done.stdout)[0]
    found["threshold"] = re.findall(r"thres (\d+)", done.stdout)[0]
    return found


def test_ksmtuned_does_as_the_profile_says(tmp_path: Path) -> None:
    """Memory is short: merging starts, and scans so many pages as ksmtuned is to add at a time."""
    as_article = {"run": "1", "pages_to_scan": "300", "interval": "60"}
    (tmp_path / "article").mkdir()
    (tmp_path / "mine").mkdir()
    found = tuned(tmp_path / "article", an_identity())
    assert found == {**as_article, "sleep_millisecs": "10", "threshold": str(33554432 // 5)}
    identity = an_identity()
    mine = replace(identity.pair.ksm, monitor_interval_s=30, threshold_percent=10, sleep_ms=50)
    found = tuned(tmp_path / "mine", replace(identity, pair=replace(identity.pair, ksm=mine)))
    assert found == {
        **as_article, "interval": "30", "sleep_millisecs": "25", "threshold": str(33554432 // 10)
    }  # fmt: skip
