"""ksbuild serve and ksbuild reinstall, as typed."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from builder.cli import main
from builder.plan import tokens
from builder.profile.load import load
from builder.serve.events import Event
from builder.serve.store import Key, Store
from tests.serve.process import a_profile, serving
from tests.serve.running import ROOT

LISTEN = ("--listen", "127.0.0.1:0")


def ksbuild(*arguments: "str | Path") -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(tmp_path: Path, missing: str) -> None:
    """Help works, and serve says what to type."""
    profile = a_profile(tmp_path)
    block = f"import sys; sys.modules[{missing!r}] = None; from builder.cli import main; main()"
    for arguments, status in ((["--help"], 0), (["serve", str(profile), *LISTEN], 6)):
        done = subprocess.run(
            [sys.executable, "-c", block, *arguments],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        if status:
            assert f"serve needs a package that is not there: {missing}" in done.stderr
            assert "next: in ksbuild's folder: pip install '.[serve]'" in done.stderr
    assert not (tmp_path / "pair.keys").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Missing option '--listen'"),
        (("--listen", "10.0.0.2"), "is not ADDRESS:PORT, such as 10.0.0.2:8080"),
        (("--listen", "example.org:80"), "is not ADDRESS:PORT"),
        (("--listen", "0.0.0.0:80"), "every address: name the one nodes use, with --url"),
        ((*LISTEN, "--url", "http://x/$(reboot)"), "--url is just http://HOST:PORT"),
        ((*LISTEN, "--valid", "1s"), "is not a time such as 30m, 8h or 2d"),
        ((*LISTEN, "--refetch", "9999d"), "is not a time such as 30m, 8h or 2d"),
        (("--listen", "127.0.0.1:99999"), "is not ADDRESS:PORT"),
        ((*LISTEN, "--webhook", "hooks.example.org/x"), "--webhook is http://... or https://..."),
        ((*LISTEN, "--key", "x"), "--certificate and --key go together"),
        ((*LISTEN, "--keys", "x", "b.toml"), "--keys is for one PROFILE"),
    ],
)
def test_wrong_usage(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    result = ksbuild("serve", a_profile(tmp_path), *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_what_cannot_be_served(tmp_path: Path) -> None:
    profile = a_profile(tmp_path)
    text = profile.read_text()
    copy = tmp_path / "copy.toml"
    copy.write_text(text)
    twice = ksbuild("serve", profile, copy, *LISTEN)
    assert twice.exit_code == 3
    assert "are the same pair" in twice.stderr
    other = tmp_path / "other.toml"
    other.write_text(text.replace("2f0c5a8e", "2f0c5a8f"))
    ports = ksbuild("serve", profile, other, *LISTEN)
    assert ports.exit_code == 3
    assert "both have port" in ports.stderr
    copy.write_text(re.sub(r"url = .*\nrepositories = \[\n(?s:.*?)\n\]\n", "", text))
    nowhere = ksbuild("serve", copy, *LISTEN)
    assert nowhere.exit_code == 3
    assert "has no install.url" in nowhere.stderr
    assert "next: name the tree with --tree URL" in nowhere.stderr


def test_an_address_that_cannot_be_had(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        result = ksbuild("serve", a_profile(tmp_path), "--listen", where)
    assert result.exit_code == 6
    assert "Address already in use" in result.stderr
    other = ksbuild("serve", a_profile(tmp_path), "--listen", "192.0.2.1:8080")
    assert other.exit_code == 6
    assert "next: an address of this machine" in other.stderr


def test_a_state_or_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk" * 1000)
    result = ksbuild("serve", a_profile(tmp_path), *LISTEN, "--state", tmp_path / "junk")
    assert result.exit_code == 6
    assert "cannot be used" in result.stderr
    pair = ("--certificate", tmp_path / "junk", "--key", tmp_path / "junk")
    result = ksbuild("serve", a_profile(tmp_path), *LISTEN, *pair)
    assert result.exit_code == 6
    assert "next: a PEM certificate and its own key" in result.stderr
    absent = ("--certificate", tmp_path / "absent.pem", "--key", tmp_path / "junk")
    result = ksbuild("serve", a_profile(tmp_path), *LISTEN, *absent)
    assert result.exit_code == 6
    assert f"{tmp_path / 'absent.pem'}: No such file" in result.stderr


def test_other_keys_than_the_state_knows(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    (tmp_path / "pair.keys").rename(tmp_path / "old.keys")
    state = ("--state", tmp_path / "state.sqlite")
    result = ksbuild("serve", a_profile(tmp_path), *LISTEN, *state)
    assert result.exit_code == 5
    assert "knows justinian by another keys folder" in result.stderr


@pytest.mark.timeout(300)
def test_reinstall_while_it_serves(tmp_path: Path) -> None:
    profile, state = a_profile(tmp_path), ("--state", tmp_path / "state.sqlite")
    early = ksbuild("reinstall", profile, "justinian", *state)
    assert early.exit_code == 6
    assert "is not there" in early.stderr
    with serving(tmp_path) as server:
        boot = "/boot/00:25:B3:22:D9:3C/ipxe"
        assert server.tell("justinian", b"stage=installed&event=done") == 204
        assert b"inst.ks" not in server.ask(boot).body
        unknown = ksbuild("reinstall", profile, "justinia", *state)
        assert unknown.exit_code == 3
        assert "did you mean justinian?" in unknown.stderr
        done = ksbuild("reinstall", profile, "justinian", *state, "--valid", "30m")
        assert done.exit_code == 0, done.stderr
        assert "justinian may be installed anew until" in done.stdout
        script = server.ask(boot).body.decode()
        assert tokens.kickstart(server.secret, "justinian", 2) in script
        assert "ksbuild.reinstall=00014-justinian" in script
        page = server.ask(urlsplit(server.told["page"]).path).body.decode()
        assert "Installer started: running" in page


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.told["schema"] == "ksbuild/serve/1"
        assert server.told["url"] == f"http://127.0.0.1:{server.port}"
        assert server.told["pairs"] == [{"name": "00014", "nodes": ["justinian", "julius"]}]
        assert server.ask(urlsplit(server.told["page"]).path).status == 200
        listening = subprocess.run(
            ["ss", "-Hltn", f"sport = :{server.port}"], capture_output=True, text=True, check=True
        ).stdout.split()
        assert f"127.0.0.1:{server.port}" in listening, "on no other address"
    said = (tmp_path / "log").read_text()
    assert "warning: plain HTTP, so whoever listens on this network reads the kickstarts" in said
    json.dumps(server.told)


def test_from_a_tree_of_ones_own(tmp_path: Path) -> None:
    with serving(tmp_path, "--tree", "http://10.0.0.9/el9/") as server:
        script = server.ask("/boot/00:25:B3:22:D9:3C/ipxe").body.decode()
        assert "kernel http://10.0.0.9/el9/images/pxeboot/vmlinuz " in script
        assert "inst.stage2=http://10.0.0.9/el9 " in script


@pytest.mark.parametrize("event", ["ok", "done"])
def test_a_node_that_met_its_peer_needs_a_ticket(tmp_path: Path, event: str) -> None:
    """Its peer would not take back what comes with the profile alone."""
    profile, path = a_profile(tmp_path), tmp_path / "state"
    pair = load(profile).profile.pair
    store = Store(path)
    with store.transaction():
        for node in ("justinian", "julius"):
            store.allow_once(Key(pair.id, node), node, 1.0)
        store.hear(Key(pair.id, "julius"), Event("secrets", event, ""), 1.0)
    done = ksbuild("reinstall", profile, "julius", "--state", path)
    assert done.exit_code == 5
    assert "julius has met its peer, which takes it back by a ticket alone" in done.stderr
    assert "next: on its peer: ksnode allow-rejoin --out ticket; then here: ksbuild pxe" in (
        done.stderr
    )
    known = store.allowance(Key(pair.id, "julius"))
    assert known is not None
    assert known.generation == 1
    for node, options in (("justinian", ()), ("julius", ("--force",))):
        done = ksbuild("reinstall", profile, node, "--state", path, *options)
        assert done.exit_code == 0, done.stderr
    store.close()


def test_nodes_are_served_though_nobody_reads_what_it_says(tmp_path: Path) -> None:
    """Such as a terminal that was closed: the line is lost, no answer is."""
    with serving(tmp_path, unread=True) as server:
        assert server.tell("julius", b"stage=uplink&event=ok") == 204
        assert server.ask("/boot/00:25:B3:22:D9:3C/ipxe").status == 200


def test_a_state_that_another_holds(tmp_path: Path) -> None:
    profile, path = a_profile(tmp_path), tmp_path / "state"
    path.write_text("junk" * 1000)
    done = ksbuild("reinstall", profile, "julius", "--state", path)
    assert done.exit_code == 6
    assert "cannot be used" in done.stderr
