"""Our two services under a real systemd: what they need works, what they gave up does not."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstboot.render import systemd
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_render_cluster import agents_unit, hardened
from tests.guests.nodes import Node

# Each prints nothing and exits 0, or its error stands under its name in what probe() returns.
BOTH = {
    "ping's socket": "python3 -c 'import socket as s; s.socket(s.AF_INET, s.SOCK_RAW, 1)'",
    "systemctl": "systemctl --user is-system-running || [ $? = 1 ]",
    "record": "echo x >/var/lib/ksbuild/.x.new; mv /var/lib/ksbuild/.x.new /var/lib/ksbuild/x",
}
AGENT = {
    "raw frames": "python3 -c 'import socket as s; s.socket(s.AF_PACKET, s.SOCK_RAW, 8)'",
    "links": "ip link add d0 type veth peer d1; ip link set d0 up; ip -j -d link show",
    "settings": "echo 9 >/proc/sys/net/ipv4/tcp_reordering",
    "configuration": "echo x >/etc/x; chown 0:9107 /etc/x; chmod 0640 /etc/x",
    "keys": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    "host keys": "ssh-keygen -q -t ed25519 -N '' -f /var/lib/ksbuild/key",
    "no terminal": "setsid --wait ipmitool -V",
    "fence agent": "fence_ipmilan --help",
    "signatures": "truncate -s 64M /var/lib/ksbuild/disk; wipefs -n -J /var/lib/ksbuild/disk",
    "file system": "mkfs.gfs2 -O -q -j 2 -J 8 -p lock_dlm -t c:f /var/lib/ksbuild/disk",
    "profiles": "nmcli --offline connection add type bond ifname b0 con-name b0",
    "module": "modprobe --dry-run --ignore-install --quiet fuse || [ $? = 1 ]",
    "DRBD": "drbdadm --version",
    "devices": "dd if=/dev/zero of=/dev/null count=1; test -e /dev/full",
    "later mounts": "for n in $(seq 50); do [ -e /srv/later/x ] && exit; sleep 0.2; done; exit 1",
}
DENIED = {
    "clock": "python3 -c 'import time; time.clock_settime(time.CLOCK_REALTIME, time.time())'",
    "namespace": "unshare --net true",
    "realtime": "chrt -f 1 true",
    "set-user-ID": "cp /bin/true /tmp/x; chmod 4755 /tmp/x",
}
GATE_DENIED = {**DENIED, "raw frames": AGENT["raw frames"], "configuration": "echo x >/etc/x"}


# What systemd as process 1 makes at its start, and covers with it what a service may not see.
HIDDEN = "mkdir -p /run/systemd/inaccessible; cd /run/systemd/inaccessible;"
HIDDEN += " mkdir -m 0 dir; touch reg; chmod 0 reg"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "images").mkdir()
    node = Node("justinian", tmp_path, tmp_path / "images")
    try:
        node.start()
        node("mkdir", "-p", "/var/lib/ksbuild", "/srv/later")
        node("sh", "-ec", HIDDEN)
        yield node
    finally:
        node.stop()


def probe(node: Node, text: str, tried: "dict[str, str]") -> "dict[str, str]":
    """Run each in a service confined as that unit is; name -> what it said when it failed."""
    lines = [line for line in text.splitlines() if hardened(line)]
    script = node.root / "etc/probe"
    script.write_text(
        "import json, subprocess, sys\n"
        f"tried = json.loads({json.dumps(json.dumps(tried))})\n"
        "found = {}\n"
        "for name, command in tried.items():\n"
        "    done = subprocess.run(['sh', '-ec', command], capture_output=True, text=True)\n"
        "    if done.returncode:\n"
        "        found[name] = f'{done.returncode}: {done.stderr}'\n"
        "with open('/var/lib/ksbuild/found', 'w') as out:\n"
        "    json.dump(found, out)\n"
    )
    unit = ["[Service]", "Type=exec", "ExecStart=/usr/bin/python3 /etc/probe", *lines]
    path = "Environment=XDG_RUNTIME_DIR=/run/user PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    (node.root / "etc/systemd/system/probe.service").write_text("\n".join([*unit, path]) + "\n")
    node("systemctl", "daemon-reload")
    node("systemctl", "start", "probe.service")
    time.sleep(0.5)
    node("mount", "-t", "tmpfs", "tmpfs", "/srv/later")
    node("touch", "/srv/later/x")
    for _ in range(600):
        if node("systemctl", "is-active", "probe.service", ok=(0, 3)).returncode:
            break
        time.sleep(0.1)
    found: dict[str, str] = json.loads(node("cat", "/var/lib/ksbuild/found").stdout)
    return found


def test_the_agent_can_do_its_work(node: Node) -> None:
    assert probe(node, agents_unit(), {**BOTH, **AGENT}) == {}


def test_the_agent_can_do_nothing_of_this(node: Node) -> None:
    assert probe(node, agents_unit(), DENIED).keys() == DENIED.keys()
    assert probe(node, "", DENIED).keys() == set(), "without it, it could"


def test_the_gate_can_do_its_work(node: Node) -> None:
    assert probe(node, systemd.render(an_identity())[0].text, BOTH) == {}


def test_the_gate_can_do_nothing_of_this(node: Node) -> None:
    found = probe(node, systemd.render(an_identity())[0].text, GATE_DENIED)
    assert found.keys() == GATE_DENIED.keys()
