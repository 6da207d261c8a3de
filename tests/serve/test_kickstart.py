"""Who gets a kickstart, for how long, and what the boot loader is told before and afterwards."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.serve.admission import Allowance, Hardware, closed, other_hardware
from tests.serve.running import NODES, REFETCH_S, VALID_S, Running, path_of, running, served

MAC = {"justinian": "00:25:b3:22:d9:3c", "julius": "00-25-B3-22-E1-3C"}


def boot(server: Running, node: str = "justinian", kind: str = "ipxe") -> str:
    answer = server.ask(f"/boot/{MAC[node]}/{kind}")
    assert answer.status == 200
    return answer.text


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("kind", ["ipxe", "grub.cfg"])
def test_from_the_boot_loader_to_the_kickstart_and_the_disk(
    server: Running, node: str, kind: str
) -> None:
    script = boot(server, node, kind)
    assert "inst.ks.sendmac inst.ks.sendsn" in script
    assert "images/pxeboot/vmlinuz" in script
    assert "ksbuild.reinstall" not in script
    (url,) = re.findall(r"inst\.ks=(\S+)", script)
    assert path_of(url) == server.kickstart(node)
    assert url.startswith("http://10.0.0.9:8080/")
    first = server.fetch(node)
    assert first.status == 200
    assert f"# Kickstart of {node}, pair 00014." in first.text
    assert first.body == server.fetch(node).body == server.fetch(node).body  # one a port
    assert first.body.endswith(b"\n%end\n")
    assert int(first.headers["content-length"]) == len(first.body)
    assert server.tell("installed", "done", node=node).status == 204
    script = boot(server, node, kind)
    assert "inst.ks" not in script
    assert f"{node} is installed, starting its disk" in script
    assert server.fetch(node).status == 410


def test_grub_understands_every_answer(server: Running, tmp_path: Path) -> None:
    answers = [boot(server, kind="grub.cfg"), server.ask("/boot/what/grub.cfg").text]
    server.tell("installed", "done")
    answers.append(boot(server, kind="grub.cfg"))
    server.ahead_s = VALID_S + 1
    answers.append(boot(server, "julius", "grub.cfg"))
    assert len(set(answers)) == 4
    for number, text in enumerate(answers):
        (tmp_path / f"{number}.cfg").write_text(text)
        subprocess.run(["grub-script-check", tmp_path / f"{number}.cfg"], check=True)


def test_it_is_what_the_medium_has(server: Running) -> None:
    things = server.server.catalog
    pieces = things.nodes[server.key()].kickstart
    assert server.fetch().body == b"".join(pieces)
    assert pieces[1] is things.nodes[server.key("julius")].kickstart[1], "the agent, once"


def test_the_time_runs_out(server: Running) -> None:
    server.ahead_s = VALID_S + 1
    answer = server.fetch()
    assert answer.status == 410
    assert "next: ksbuild reinstall 00014.toml justinian" in answer.text
    assert "REFUSED" in boot(server)
    assert server.tell("installed", "done").status == 204, "the call is taken all the same"
    assert server.fetch().status == 410
    assert "starting its disk" in boot(server)


def test_the_first_fetch_opens_a_window(server: Running) -> None:
    assert server.fetch().status == 200
    server.ahead_s = REFETCH_S - 60
    assert server.fetch().status == 200
    server.ahead_s = REFETCH_S + 60
    answer = server.fetch()
    assert answer.status == 410
    assert "fetched already" in answer.text
    assert server.fetch("julius").status == 200, "the other node has a window of its own"


def test_an_unknown_port_gets_nobodys_kickstart(server: Running) -> None:
    for mac in ("02:00:00:00:00:01", "what", "..", "%2e%2e", "00:25:b3:22:d9:3c%0a", "A" * 4000):
        answer = server.ask(f"/boot/{mac}/ipxe")
        assert answer.status in (200, 404)
        assert "inst.ks" not in answer.text
        assert mac not in answer.text
    assert "no node of the served pairs has this port" in server.ask("/boot/what/grub.cfg").text


def test_reinstalling_is_another_token_and_a_word_for_pre(server: Running) -> None:
    server.fetch()
    server.tell("installed", "done")
    served_node = server.server.catalog.nodes[server.key()]
    store = server.server.store
    with store.transaction():
        store.allow_again(server.key(), 2, served_node.digest(2), 2e10)
    assert server.fetch().status == 404
    assert server.fetch(generation=2).status == 200
    script = boot(server)
    assert server.kickstart(generation=2) in script
    assert "ksbuild.reinstall=00014-justinian" in script


def test_everything_is_known_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        one.fetch()
        one.tell("installed", "done")
    with running(tmp_path, served()) as two:
        assert two.fetch().status == 410
        assert "starting its disk" in boot(two)
        assert two.fetch("julius").status == 200


def test_over_https(tmp_path: Path) -> None:
    """With the certificate it was given, and in no other way."""
    pair = (tmp_path / "s.crt", tmp_path / "s.key")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=s"
    done = subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", pair[1], "-out", pair[0]], capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with running(tmp_path, certificate=pair) as server:
        assert server.fetch().status == 200
        assert server.tell("disk", "done").status == 204
        assert server.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ends=True)[:5] != b"HTTP/"


def test_what_is_refused_shows_on_the_page(server: Running) -> None:
    assert server.ask(server.kickstart()).status == 403
    assert "its boot line needs inst.ks.sendmac" in server.ask(server.page).text


HARDWARE = Hardware(frozenset({"00:25:B3:22:D9:3C"}), "CZC 1")
OURS = {"x-rhn-provisioning-mac-1": "ens3 00:25:b3:22:d9:3c", "x-system-serial-number": " CZC 1 "}


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (OURS, ""),
        ({**OURS, "x-system-serial-number": "CZC 2"}, "the installer's serial number"),
        ({"x-rhn-provisioning-mac-1": OURS["x-rhn-provisioning-mac-1"]}, "inst.ks.sendsn"),
        ({**OURS, "x-rhn-provisioning-mac-1": "ens3 02:00:00:00:00:01"}, "none of the"),
        ({**OURS, "x-rhn-provisioning-mac-1": "ens3 nonsense"}, "inst.ks.sendmac"),
        ({**OURS, "x-rhn-provisioning-mac-1": ""}, "inst.ks.sendmac"),
        ({"x-system-serial-number": "CZC 1"}, "inst.ks.sendmac"),
        ({"x-rhn-provisioning-mac": "00:25:B3:22:D9:3C"}, "inst.ks.sendmac"),
        ({}, "inst.ks.sendmac"),
    ],
)
def test_the_installer_shows_whose_it_is(headers: dict[str, str], why: str) -> None:
    said = other_hardware(HARDWARE, headers)
    assert (why in said) if why else said == ""


def moments() -> Iterator[tuple[float | None, float | None, float, str]]:
    """(fetched, installed, now, why) around every border; expires at 100, refetch 10 seconds."""
    yield None, None, 99.9, ""
    yield None, None, 100.0, "over"
    yield 50.0, None, 59.9, ""
    yield 50.0, None, 60.0, "too long ago"
    yield 95.0, None, 100.0, "over"
    yield None, 1.0, 2.0, "installed"
    yield 50.0, 51.0, 52.0, "installed"
    yield 50.0, 51.0, 200.0, "installed"


@pytest.mark.parametrize(("fetched", "installed", "now", "why"), list(moments()))
def test_when_it_is_closed(
    fetched: float | None, installed: float | None, now: float, why: str
) -> None:
    said = closed(Allowance(1, 100.0, fetched, installed), now, 10.0)
    assert (why in said) if why else said == ""


def test_head_tells_what_get_would(server: Running) -> None:
    path, headers = server.kickstart(), server.installer()
    assert server.ask(path, "HEAD", headers=headers).status == 200
    server.ahead_s = VALID_S + 1
    assert server.ask(path, "HEAD", headers=headers).status == 410


def test_of_a_node_that_is_installed_no_refusal_is_told(server: Running) -> None:
    """Somebody opened the address, or an installer asked once more: it stopped nothing."""
    server.fetch()
    server.tell("installed", "done")
    assert server.ask(server.kickstart()).status == 403
    assert server.fetch().status == 410
    assert "starting its disk" in boot(server)
    said = server.server.store.stages(server.key().pair)["justinian"]
    assert {what.event for what in said.values()} == {"done"}
    assert server.server.store.notices() == []


@pytest.mark.parametrize("gone", ["installed", "refused"])
def test_ipxe_hands_back_with_an_error_so_that_the_firmware_goes_on(
    server: Running, gone: str
) -> None:
    """EDK2 opens its own menu where an application has ended well."""
    if gone == "installed":
        server.tell("installed", "done")
    else:
        server.ahead_s = VALID_S + 1
    assert re.findall(r"\bexit\b.*", boot(server)) == [
        "exit 1 ||" if gone == "installed" else "exit 1"
    ]
