"""A network with the tree's own servers on it, and machines that start from it."""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.profile.load import load
from builder.profile.model import NodeSection
from tests.media.qemu import Firmware, Machine, boot_over
from tests.media.sources import ROOT
from tests.uml.lab import Lab

SERVER = "10.0.0.5"
URL = f"http://{SERVER}"
POOL = "10.0.0.200-10.0.0.210"
TEMPORARY = ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")
PXELINUX = Path("/usr/lib/PXELINUX/pxelinux.0")
# A stand-in for the installer that ends, and says everything on the serial line.
ARGUMENTS = 'kernel_arguments = ["console=tty0", "console=ttyS0,115200", "ksbuild.demo=poweroff"]'


def write_profile(folder: Path) -> Path:
    """The example's pair with such a stand-in."""
    text = (ROOT / "profiles/example.toml").read_text()
    path = folder / "pair.toml"
    path.write_text(text.replace("[install]\n", f"[install]\n{ARGUMENTS}\n"))
    return path


def nodes(profile: Path) -> list[NodeSection]:
    return load(profile).profile.node


def write_tree(profile: Path, source: Path, out: Path, *options: str | Path) -> Path:
    """The tree as a user would make it, for whoever runs the test as the web server."""
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "builder",
        "pxe",
        profile,
        "--source",
        source,
        "--url",
        URL,
    ]
    more: list[str | Path] = [
        "--out",
        out,
        "--pxelinux",
        PXELINUX,
        "--offline",
        "--quiet",
        *options,
    ]
    done = subprocess.run([*argv, *more], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@dataclass(frozen=True)
class Rack:
    """The network while it runs; made by `rack`."""

    lab: Lab
    folder: Path

    def start(
        self, mac: str, firmware: Firmware, *, ipxe: bool = False, http: bool = False
    ) -> contextlib.AbstractContextManager[Machine]:
        """Start a machine whose one network card, with that MAC, is first in its boot order."""
        tap, enter = self.lab.lan_port(), self.lab.inside()
        return boot_over(
            tap.name, mac, self.folder, firmware=firmware, enter=enter, ipxe=ipxe, http=http
        )

    def requests(self) -> list[tuple[str, str, str]]:
        """What nginx was asked for: (address, path, status)."""
        said = (self.folder / "access.log").read_text()
        return re.findall(r'^(\S+) .*?"(?:GET|HEAD) (\S+) .*?" (\d+)', said, re.MULTILINE)

    def sent(self) -> list[str]:
        """The files that dnsmasq sent by TFTP, as they lie on the disk."""
        return re.findall(r"sent (\S+) to ", (self.folder / "dnsmasq.log").read_text())

    def asks(self, url: str) -> int:
        """The status that the server's own address, which is no node's, is answered with."""
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url]
        done = subprocess.run(self.lab.inside(*argv), capture_output=True, text=True, check=True)
        return int(done.stdout)


@contextlib.contextmanager
def rack(tree: Path, folder: Path, *, beside: bool = False) -> Iterator[Rack]:
    """The tree's dnsmasq.conf and nginx.conf at work in a network of their own.

    With `beside` there is another DHCP server.
    """
    folder.mkdir()
    settings = folder / "nginx.conf"
    settings.write_text(
        f"daemon off; master_process off; user root root; pid {folder}/nginx.pid; events {{}}\n"
        f"http {{ access_log {folder}/access.log; include {tree}/nginx.conf;\n"
        + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in TEMPORARY)
        + "}\n"
    )
    (folder / "access.log").touch()
    web = ["nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(settings)]
    # In a user namespace nobody can become the user that it would give its rights up for.
    boots = ["dnsmasq", "--no-daemon", f"--conf-file={tree}/dnsmasq.conf"]
    boots += [f"--log-facility={folder}/dnsmasq.log", f"--dhcp-leasefile={folder}/leases"]
    with Lab() as lab, contextlib.ExitStack() as running:
        lab.lan(f"{SERVER}/22")
        for argv in (web, boots):
            running.enter_context(_running(lab.inside(*argv), folder))
        if beside:
            running.enter_context(_another_dhcp_server(lab, folder))
        _wait_for(folder / "dnsmasq.log", "started")
        yield Rack(lab, folder)


# In a user namespace nobody can become the user that dnsmasq would give its rights up for: it does
# not try. $2 takes out of its configuration what is untrue of a card which is no iPXE.
_IN_PLACE = """
cp /usr/sbin/dnsmasq "$1/dnsmasq.real"
cat >"$1/dnsmasq" <<END
#!/bin/sh
for word; do
  case \\$word in --conf-file=*) sed -i '$2' "\\${word#*=}" ;; esac
done
shift
exec "$1/dnsmasq.real" --no-daemon "\\$@"
END
chmod 755 "$1/dnsmasq"
mount --bind "$1/dnsmasq" /usr/sbin/dnsmasq
shift 2
exec "$@"
"""
_NO_IPXE = "/^dhcp-match=set:ipxe,175$/d"


@contextlib.contextmanager
def served_rack(
    profile: Path, tree: Path, folder: Path, *options: str, plain: bool = False
) -> Iterator[Rack]:
    """ksbuild serve with `tree` and a dnsmasq of its own in a network of their own.

    With `plain` iPXE is taken for a card's own PXE: SeaBIOS has no other here.
    """
    folder.mkdir()
    changed = _NO_IPXE if plain else ""
    argv = ["unshare", "-m", "sh", "-ec", _IN_PLACE, "sh", str(folder), changed]
    argv += [sys.executable, "-m", "builder", "serve", str(profile), "--boot", str(tree)]
    argv += ["--listen", f"{SERVER}:80", "--state", str(folder / "state"), "--dnsmasq", *options]
    with Lab() as lab:
        lab.lan(f"{SERVER}/22")
        with _running(lab.inside(*argv), folder):
            _wait_for(folder / "said", "page: ")
            _wait_for(folder / "state.boot/dnsmasq.log", "started")
            yield Rack(lab, folder)


# Another machine on the network, which knows nothing of all this: addresses, and no more.
_ELSEWHERE = """
ip address add 10.0.0.1/22 dev elsewhere; ip link set elsewhere up
exec dnsmasq --no-daemon --conf-file=/dev/null --port=0 --dhcp-range=10.0.0.100,10.0.0.199,1h \\
  --dhcp-leasefile="$1" --dhcp-option=option:router,10.0.0.1 --bind-dynamic
"""


@contextlib.contextmanager
def _another_dhcp_server(lab: Lab, folder: Path) -> Iterator[None]:
    ready = 'echo $$ && read -r _ && exec sh -ec "$2" sh "$1"'
    argv = ["unshare", "-n", "sh", "-c", ready, "sh", str(folder / "others"), _ELSEWHERE]
    with (
        (folder / "said").open("ab") as out,
        subprocess.Popen(
            lab.inside(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        pid = process.stdout.readline().decode().strip()
        port = lab.veth("elsewhere", int(pid))
        process.stdin.write(f"{port}\n".encode())
        process.stdin.flush()
        try:
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def _running(argv: list[str], folder: Path) -> Iterator[None]:
    with (
        (folder / "said").open("ab") as out,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process,
    ):
        time.sleep(0.2)
        assert process.poll() is None, (folder / "said").read_text()
        try:
            yield
        finally:
            process.terminate()


def _wait_for(path: Path, text: str) -> None:
    end = time.monotonic() + 20
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < end, f"{path} does not say {text!r}"
        time.sleep(0.1)
