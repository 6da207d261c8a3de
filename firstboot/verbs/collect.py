"""ksnode collect: one archive with what a human needs to find a fault, and no secret in it."""

import argparse
import io
import re
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from firstboot.commands import CommandError, run
from firstboot.configfile import placeholder
from firstboot.exits import FAILED, OK
from firstboot.files import SECRETS
from firstboot.journal import STATE
from firstboot.node import Identity
from firstboot.render import render

# Each reads only; what is not installed or has nothing to say leaves its answer all the same.
QUESTIONS = {
    "network": ("ip", "-d", "address"),
    "bond": ("nmcli", "--terse", "connection", "show", "--active"),
    "disks": ("lsblk", "--output-all"),
    "smart": ("smartctl", "--scan-open"),
    "sensors": ("ipmitool", "sdr", "elist"),
    "clock": ("chronyc", "-n", "tracking"),
    "signatures": ("wipefs", "--no-act", "--all"),
    "drbd": ("drbdadm", "status"),
    "cluster": ("crm_mon", "-1rfA"),
    "cib": ("cibadmin", "--query"),
    "links": ("corosync-cfgtool", "-s"),
    "locks": ("dlm_tool", "status"),
    "mounts": ("findmnt", "--all"),
    "kernel": ("dmesg", "--ctime"),
    "journal": ("journalctl", "--boot", "--no-pager", "--lines=20000"),
    "avc": ("ausearch", "--input-logs", "--message", "avc", "--start", "boot"),
}
_LIMIT = 4 << 20  # bytes of one answer that are kept, its end
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.S)
_WORD = re.compile(
    r"(?i)(\b(?:passw(?:or)?d|(?:shared-)?secret)(?:\" value=|\"?\s*[=:]\s*|\s+)\"?)([^\s\";<]+)"
)


def collect(identity: Identity, root: Path, arguments: argparse.Namespace) -> int:
    """Write the archive, 0600, and say where it is."""
    output: Path = arguments.output or Path(f"ksnode-{identity.node}.tar.gz")
    known = known_secrets(root)
    try:
        with output.open("xb") as raw:
            output.chmod(0o600)
            with tarfile.open(fileobj=raw, mode="w:gz") as archive:
                for name, text in _everything(identity, root):
                    _add(archive, f"ksnode-{identity.node}/{name}", redacted(text, known))
    except OSError as error:
        print(f"ksnode: {error}\nnext: ksnode collect --output ANOTHER", file=sys.stderr)
        return FAILED
    print(f"{output}: secrets are taken out; look through it before you send it anywhere")
    return OK


def known_secrets(root: Path) -> dict[str, str]:
    """Name -> text of every secret this node keeps."""
    folder = root / SECRETS
    return {
        path.name: path.read_text("ascii", "replace").strip()
        for path in sorted(folder.glob("*"))
        if path.is_file()
    }


def redacted(text: str, known: "dict[str, str]") -> str:
    """`text` without the secrets known, private keys, or words that follow "password"."""
    text = _KEY.sub("<private key>", text)
    text = _WORD.sub(lambda found: f"{found[1]}<redacted>", text)
    for name, secret in known.items():
        if secret:
            text = text.replace(secret, placeholder(name))
    return text


def _everything(identity: Identity, root: Path) -> Iterator[tuple[str, str]]:
    for name in ("RESULT", "status.json", "journal.jsonl"):
        yield name, _read(root / STATE / name)
    yield "node.json", _read(root / "etc/ksbuild/node.json")
    for file in render(identity):
        yield f"files{file.path}", _read(root / file.path.relative_to("/"))
    for name, argv in QUESTIONS.items():
        yield f"commands/{name}", _answer(argv)


def _answer(argv: "tuple[str, ...]") -> str:
    try:
        result = run(argv, ok=tuple(range(256)), timeout_s=30)
    except CommandError as error:  # ended by a signal
        return f"$ {' '.join(argv)}\n{error}\n"
    return f"$ {' '.join(argv)}\nexit {result.returncode}\n{result.stdout}{result.stderr}"[-_LIMIT:]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"{error}\n"


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
    archive.addfile(info, io.BytesIO(content))
