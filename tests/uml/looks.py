"""What is looked at of a pair's nodes: while they run, and on their disks once they are off."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.uml import started
from tests.uml.disk import read_files
from tests.uml.images import BMC_PASSWORD
from tests.uml.pair import STATE, Server, TestPair

SECRETS = "/etc/ksbuild/secrets"
PRIVATE_KEYS = r"/etc/ksbuild/(introduction|pair)/.*\.key|/etc/ssh/ssh_host_ed25519_key"
# Read while the pair runs; what a node keeps shows best from outside, once it is off.
LOOK = {
    "mounts": "grep gfs2 /proc/mounts",
    "cluster": "crm_mon -1rf",
    "cib": "cibadmin --query",
    "report": f"cat {STATE}/report.txt",
    "readable": "find /etc /usr/local /var/lib/ksbuild /run /srv -xdev -type f -perm /o+r",
    "dry": "ksnode run --dry-run; ksnode check",
    "cpu": "systemctl show -p CPUUsageNSec -p MemoryCurrent ksnode",
    # No key of ours opens the peer; that it is the peer is shown before it says no.
    "ssh": "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"
    " $([ $(uname -n) = julius ] && echo justinian || echo julius) true 2>&1",
    "order": "systemctl show -P Before srv-vmdata.mount",
    "confined": "grep -E '^(Seccomp|CapBnd):' /proc/$(systemctl show -P MainPID ksnode)/status",
    "rss": "grep -H VmHWM /proc/$(systemctl show -P MainPID ksnode)/status",
}


def read_node(pair: TestPair, server: Server) -> dict[str, bytes]:
    paths = [STATE, "/etc", "/usr/local", started.KEPT]
    return read_files(pair.images, server.disk, pair.root_number(server), paths)


def result(files: dict[str, bytes]) -> dict[str, Any]:
    read = json.loads(files[f"{STATE}/RESULT"])
    assert isinstance(read, dict)
    return read


def canaries(left: list[dict[str, bytes]]) -> set[bytes]:
    """All that must not show: what lies in the secrets' folder, each private key line by line."""
    found = {BMC_PASSWORD.encode()}
    for files in left:
        kept = {path: text for path, text in files.items() if path.startswith(SECRETS)}
        assert {path.rpartition("/")[2] for path in kept} >= {"authkey", "drbd"}
        keys = [path for path in files if re.fullmatch(PRIVATE_KEYS, path)]
        assert {path.split("/")[3] for path in keys} == {
            "introduction",
            "pair",
            "ssh_host_ed25519_key",
        }
        lines = [line for path in keys for line in files[path].splitlines()]
        found |= {text.strip() for text in kept.values()}
        found |= {line for line in lines if len(line) > 20 and not line.startswith(b"-----")}
    return found
