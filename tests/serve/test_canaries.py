"""Recognisable secrets: where they may be is named here, and they are nowhere else."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder.plan import tokens
from tests.serve.process import a_profile, serving

HASH = "$6$CANARYsalt$" + "CANARYhash" * 8
PLANTED = "CANARY-in-a-detail"
MAC, SERIAL = {"justinian": "00:25:B3:22:D9:3C", "julius": "00:25:B3:22:E1:3C"}, "CZC00014A{}"


def secrets(folder: Path) -> dict[str, bytes]:
    """All there are: every key of the folder, every token, the hash of root's password."""
    keys = {path.name: path.read_text() for path in (folder / "pair.keys").glob("*.key")}
    found = {
        name: "".join(line for line in text.splitlines() if "-----" not in line)[:60]
        for name, text in keys.items()
    }
    key = keys["serve_tokens.key"].strip()
    for node in MAC:
        found[f"{node}'s kickstart token"] = tokens.kickstart(key, node, 1)
        found[f"{node}'s progress token"] = tokens.progress(key, node)
    found["page token"] = tokens.page(key)
    found["root's hash"] = HASH
    return {name: text.encode() for name, text in found.items()}


@pytest.mark.timeout(300)
def test_no_secret_is_where_it_has_no_business(tmp_path: Path) -> None:
    profile = a_profile(tmp_path)
    text = profile.read_text()
    profile.write_text(text.replace("[access]\n", f'[access]\nroot_password_hash = "{HASH}"\n'))
    answers: dict[str, bytes] = {}
    with serving(tmp_path, "--webhook", "http://127.0.0.1:9/CANARY-webhook") as server:
        page = urlsplit(server.told["page"]).path
        for number, (node, mac) in enumerate(MAC.items(), start=1):
            path = f"/ks/{tokens.kickstart(server.secret, node, 1)}"
            headers = {
                "X-RHN-Provisioning-MAC-0": f"ens1 {mac}",
                "X-System-Serial-Number": SERIAL.format(number),
            }
            answers[f"boot of {node}"] = server.ask(f"/boot/{mac}/ipxe").body
            answers[f"kickstart of {node}"] = server.ask(path, headers=headers).body
            answers["refused"] = server.ask(path).body + server.ask(f"{path}x").body
            for event in ("installer&event=started", "disk&event=failed", "installed&event=done"):
                body = f"stage={event}&detail={PLANTED}".encode()
                assert server.tell(node, body) == 204
            answers[f"too late {node}"] = server.ask(path, headers=headers).body
            answers[f"disk of {node}"] = server.ask(f"/boot/{mac}/grub.cfg").body
        for place in ("", "status", "metrics", "page.css", "page.js", "nothing"):
            answers[f"page {place}"] = server.ask(page + place).body
        printed = str(server.told).encode()
    known = secrets(tmp_path)
    assert len(known) == 11, sorted(known)
    for name, secret in known.items():
        having = {where for where, body in answers.items() if secret in body}
        assert having == allowed(name), name
    log = (tmp_path / "log").read_bytes()
    state = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("state.sqlite*")))
    assert PLANTED.encode() in state
    assert b"kickstart sent" in log
    for name, secret in known.items():
        assert secret not in state, name
        assert secret not in log, name
        assert (secret in printed) == (name == "page token"), name
    assert b"CANARY-webhook" not in log + state


def allowed(name: str) -> set[str]:
    """The answers that have this secret: a node's own kickstart, and what leads it there."""
    for node in MAC:
        if name == f"{node}'s kickstart token":
            return {f"boot of {node}"}
        if name in (f"{node}.key", f"{node}'s progress token"):
            return {f"kickstart of {node}"}
    if name in ("link.key", "root's hash"):
        return {f"kickstart of {node}" for node in MAC}
    assert name in ("ca.key", "serve_tokens.key", "page token")
    return set()
