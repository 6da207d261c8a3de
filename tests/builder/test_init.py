"""New profiles, keys and hashes from the command line."""

import contextlib
import importlib
import os
import pty
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from passlib.hash import sha512_crypt

from builder.cli import main
from builder.introduction import load_or_make
from builder.packages.defaults import DISTRIBUTIONS
from builder.profile.load import load
from builder.profile.problems import ProfileError

ROOT = Path(__file__).parents[2]
SERVER = """
[server]
serial = "{serial}"

[[port]]
name = "eno1"
mac = "00:25:B3:22:D9:{first}C"
carrier = "1"

[[port]]
name = "eno2"
mac = "00:25:B3:22:D9:{first}D"
carrier = "1"

[[port]]
name = "eno3"
mac = "00:25:B3:22:D9:{first}E"
carrier = "0"

[[disk]]
name = "sda"
size_gib = 931
wwn = "0x600508b1001c{serial}"

[bmc]
address = "10.0.1.{host}"
"""


def ksbuild(*arguments: "str | Path", stdin: str = "") -> Result:
    return CliRunner().invoke(
        main, [str(a) for a in arguments], input=stdin, catch_exceptions=False
    )


def test_the_example_has_an_id_of_its_own(tmp_path: Path) -> None:
    ids = set()
    for name in ("a.toml", "b.toml"):
        said = ksbuild("init", "--example", tmp_path / name)
        assert said.exit_code == 0
        assert f"next: ksbuild validate {tmp_path / name}" in said.output
        ids.add(load(tmp_path / name).profile.pair.id)
    assert len(ids) == 2
    assert ksbuild("init", "--example", tmp_path / "a.toml").exit_code == 5


def test_from_two_described_servers(tmp_path: Path) -> None:
    key = tmp_path / "id.pub"
    key.write_text("ssh-ed25519 " + "A" * 68 + " me@here\n")
    for n, name in enumerate(("one", "two")):
        text = SERVER.format(serial=f"CZC{n}", first=n, host=10 + n)
        (tmp_path / f"{name}.toml").write_text(text)
    profile = tmp_path / "pair.toml"
    answers = ["p1", "ada", "bob", "10.0.0.21/24", "10.0.0.22/24", "10.0.0.1", str(key), "rocky"]
    said = ksbuild(
        "init", profile, "--hardware", tmp_path / "one.toml", tmp_path / "two.toml",
        stdin="\n".join(answers) + "\n",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    made = load(profile).profile
    assert [node.name for node in made.node] == ["ada", "bob"]
    assert [node.serial for node in made.node] == ["CZC0", "CZC1"]
    names = [repository.name for repository in made.install.repositories]
    assert names == ["AppStream", "HighAvailability", "ResilientStorage", "ELRepo"]
    assert "rocky" in (made.install.url or "")
    rocky = ["21CB256AE16FC54C6E652949702D426D350D275D"]
    assert made.install.gpg_fingerprint == rocky
    key_file = "RPM-GPG-KEY-Rocky-9"
    assert made.install.gpg_key == key_file
    assert (
        f"next: curl -f https://dl.rockylinux.org/pub/rocky/{key_file} > {key_file}\n"
        in said.output
    )
    assert made.node[0].uplink.ports == ["00:25:B3:22:D9:0C"]
    assert made.node[0].crossover.ports == ["00:25:B3:22:D9:0D"], "the port without carrier is out"
    assert made.node[1].disk.wwn == "0x600508b1001cCZC1"
    assert "name eno3, mac 00:25:B3:22:D9:0E, carrier 0" in profile.read_text()


def test_questions_on_a_terminal(tmp_path: Path) -> None:
    """A real terminal: each question with its default, Enter takes it, a typing error is said."""
    private = tmp_path / "id"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n")
    keys = [str(private), str(tmp_path / "none.pub")]
    answers = ["", "ada", "", "10.0.0.21/24", "", "", *keys, "debian", "rocky"]
    questions = [
        "Name of the pair [pair1]: ",
        "Name of the first node [node1]: ",
        "Name of the second node [node2]: ",
        "Address of the first node in the local network [10.0.0.11/24]: ",
        "Address of the second node [10.0.0.12/24]: ",
        "Gateway [10.0.0.1]: ",
        *["File with your SSH public key [~/.ssh/id_ed25519.pub]: "] * 2,
        "Distribution (",
        "Distribution (",
    ]
    with on_a_terminal("init", str(tmp_path / "pair.toml")) as (asked, ours):
        said = b""
        for question, answer in zip(questions, answers, strict=True):
            said += until(ours, question)
            os.write(ours, answer.encode() + b"\n")
        said += until(ours, f"ksbuild validate {tmp_path / 'pair.toml'}")
        assert asked.wait(60) == 0
    assert b"'debian' is not one of" in said
    assert b"holds no OpenSSH public key; its name ends with .pub" in said
    assert b"next: fill in what says FILL-IN, then: " in said
    made = tomllib.loads((tmp_path / "pair.toml").read_text())
    assert made["pair"]["name"] == "pair1"
    assert [node["name"] for node in made["node"]] == ["ada", "node2"]
    addresses = [node["uplink"]["address"] for node in made["node"]]
    assert addresses == ["10.0.0.21/24", "10.0.0.12/24"]
    assert made["access"]["ssh_keys"] == ["FILL-IN"]
    assert "rocky" in made["install"]["url"]


@contextlib.contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The command with a terminal of its own, and our end of that."""
    # Whoever runs the tests in the background may have it ignore Ctrl-C.
    restored = ["env", "--default-signal=INT", "setsid", "--ctty"]
    argv = [*restored, sys.executable, "-m", "builder", *arguments]
    ours, theirs = pty.openpty()
    with subprocess.Popen(argv, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs) as asked:
        os.close(theirs)
        yield asked, ours
    os.close(ours)


def until(terminal: int, words: str) -> bytes:
    """What is said up to some words; pytest's own time limit ends a wait for ever."""
    said = b""
    while words.encode() not in said:
        said += os.read(terminal, 4096)
    return said


@pytest.mark.parametrize("key", [b"\3", b"\4"], ids=["ctrl-c", "ctrl-d"])
def test_who_leaves_a_terminal_has_no_profile(tmp_path: Path, key: bytes) -> None:
    with on_a_terminal("init", str(tmp_path / "pair.toml")) as (asked, ours):
        until(ours, "Name of the pair [pair1]: ")
        for _ in range(100):
            # A signal between the prompt and Python's read(2) is noticed with the next one.
            os.write(ours, key)
            with contextlib.suppress(subprocess.TimeoutExpired):
                asked.wait(10)  # a second one may come while it says goodbye
                break
        assert asked.poll() == 130
        until(ours, "ksbuild: interrupted; nothing is left behind")
    assert not (tmp_path / "pair.toml").exists()


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    said = ksbuild("init", tmp_path / "pair.toml")
    assert said.exit_code == 2
    assert "without a terminal give --example or --hardware" in said.stderr


def test_what_is_not_known_is_found_by_validate(tmp_path: Path) -> None:
    from builder.profile.new import Answers, Server, text

    answers = Answers(
        "p",
        ("a", "b"),
        ("10.0.0.1/24", "10.0.0.2/24"),
        "10.0.0.9",
        "FILL-IN",
        DISTRIBUTIONS["alma"],
    )
    profile = tmp_path / "p.toml"
    profile.write_text(text(answers, [Server(), Server()]))
    with pytest.raises(ProfileError) as caught:
        load(profile)
    keys = {problem.key for problem in caught.value.problems}
    assert {"access.ssh_keys[0]", "node[0].uplink.ports[0]", "node[1].fencing[0].address"} <= keys
    assert {"node[0].serial", "node[1].disk.serial"} <= keys


@pytest.mark.parametrize("name", ["example", "dl380g6"])
def test_the_shipped_profiles_have_the_same_places(root: Path, name: str) -> None:
    install = load(root / f"profiles/{name}.toml").profile.install
    tree, *others = DISTRIBUTIONS["alma"].repositories
    assert install.url == tree.url
    assert [(r.name, r.url) for r in install.repositories] == [(k.name, k.url) for k in others]


@pytest.mark.parametrize("kind", sorted(DISTRIBUTIONS))
def test_known_keys_are_pinned_for_every_distribution(kind: str, tmp_path: Path) -> None:
    from builder.profile.new import Answers, Server, beside, text

    distribution = DISTRIBUTIONS[kind]
    key = "ssh-ed25519 " + "A" * 68
    names, addresses = ("a", "b"), ("10.0.0.1/24", "10.0.0.2/24")
    answers = Answers("p", names, addresses, "10.0.0.9", key, distribution)
    servers = [
        Server(
            f"S{n}",
            f"00:25:B3:22:D9:{n}0",
            (f"00:25:B3:22:D9:{n}1",),
            disk=f'serial = "D{n}"',
            bmc=f"10.0.0.{n}1",
        )
        for n in (1, 2)
    ]
    profile = tmp_path / "p.toml"
    profile.write_text(text(answers, servers))
    install = load(profile).profile.install
    assert install.gpg_fingerprint == list(distribution.repositories[0].fingerprints)
    elrepo = install.repositories[-1]
    assert (elrepo.name, len(elrepo.gpg_fingerprint or [])) == ("ELRepo", 2)
    ids = [each.name for each in install.repositories if each.url is None]
    theirs = [f"rhel-9-for-x86_64-{n}-rpms" for n in ("highavailability", "resilientstorage")]
    assert ids == (theirs if kind == "rhel" else [])
    assert all("cdn.redhat.com" not in (each.url or "") for each in install.repositories)
    assert (install.url is None) is (kind == "rhel")
    assert (install.registration_file is not None) is (kind == "rhel")
    wanted = {install.gpg_key, elrepo.gpg_key}
    assert {line.rpartition("> ")[2] for line in beside(answers) if " > " in line} == wanted


@pytest.mark.parametrize("content", ["", "[server]\nserial = 'x'", "not toml ["])
def test_a_description_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "one.toml").write_text(content)
    said = ksbuild("init", tmp_path / "p.toml", "--hardware", *[tmp_path / "one.toml"] * 2)
    assert said.exit_code == 6
    assert "Describe this server" in said.stderr
    assert not (tmp_path / "p.toml").exists()


def test_keys_show_fingerprints_and_no_key(tmp_path: Path) -> None:
    profile = tmp_path / "p.toml"
    assert ksbuild("init", "--example", profile).exit_code == 0
    assert ksbuild("keys", "show", profile).exit_code == 6
    load_or_make(tmp_path / "p.keys", load(profile).profile.pair.id, ["justinian", "julius"])
    said = ksbuild("keys", "show", profile)
    assert re.fullmatch(
        r"[0-9a-f]{64}  ca\n[0-9a-f]{64}  julius\n[0-9a-f]{64}  justinian\n", said.output
    )


def test_hash_password() -> None:
    said = ksbuild("hash-password", stdin="correct horse\ncorrect horse\n")
    assert sha512_crypt.verify("correct horse", said.stdout.split()[-1])
    assert "correct horse" not in said.output


def test_doctor_finds_this_machine_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = ksbuild("doctor")
    assert said.exit_code == 0
    assert "BAD" not in said.output
    module = importlib.import_module("builder.cli.doctor")  # the package's name is the command
    monkeypatch.setattr(module, "NEEDED", ("no-such-library",))
    said = ksbuild("doctor")
    assert said.exit_code == 6
    assert "BAD  no-such-library is not installed" in said.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    said = ksbuild("completion", shell)
    assert said.exit_code == 0
    assert "_KSBUILD_COMPLETE" in said.output
