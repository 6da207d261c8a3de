"""The sample pair's kickstarts: sample.ks with node 1's or node 2's words filled in."""

from __future__ import annotations

import base64
import io
import tarfile
import uuid
from pathlib import Path

_SAMPLE = (Path(__file__).parent / "sample.ks").read_text()
_PROGRAM = (Path(__file__).parent / "sample-node.sh").read_text()
PARTITIONS = ("biosboot", "esp", "boot", "swap", "root", "data")


def mac(node: int, nic: int) -> str:
    return f"52:54:00:00:{node:02x}:{nic:02x}"


def part_uuid(node: int, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"harness-{node}-{name}"))


def profiles(node: int) -> str:
    """A tar, in base64, of a bond over the three crossover ports, each found by its MAC."""
    texts = {
        "bond0": (
            f"[connection]\nid=bond0\nuuid={uuid.uuid4()}\ntype=bond\ninterface-name=bond0\n"
            "autoconnect-slaves=1\n[bond]\nmode=balance-rr\nmiimon=100\n"
            f"[ipv4]\nmethod=manual\naddress1=192.168.7.{node}/24\n[ipv6]\nmethod=disabled\n"
        )
    }
    for nic in (1, 2, 3):
        texts[f"bond0-{nic}"] = (
            f"[connection]\nid=bond0-{nic}\nuuid={uuid.uuid4()}\ntype=ethernet\nmaster=bond0\n"
            f"slave-type=bond\n[ethernet]\nmac-address={mac(node, nic).upper()}\n"
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in texts.items():
            info = tarfile.TarInfo(f"etc/NetworkManager/system-connections/{name}.nmconnection")
            info.size, info.mode = len(text), 0o600
            tar.addfile(info, io.BytesIO(text.encode()))
    return base64.encodebytes(buffer.getvalue()).decode().strip()


def kickstart(node: int) -> bytes:
    words = {f"@{name.upper()}@": part_uuid(node, name) for name in PARTITIONS}
    words |= {"@PROGRAM@": _PROGRAM.strip(), "@PROFILES@": profiles(node)}
    words |= {"@MAC@": mac(node, 0), "@NODE@": f"node{node}", "@NUMBER@": str(node)}
    text = _SAMPLE
    for word, value in words.items():
        text = text.replace(word, value)
    return text.replace("@PEER@", str(3 - node)).encode()
