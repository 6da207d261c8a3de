"""ksbuild iso --rejoin: a medium for one node of a living pair, made with its ticket."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from builder.media.inspect import read_tree
from builder.plan import Plan
from firstboot import VERSION
from firstboot.commands import run
from firstboot.rendezvous import authority
from tests.builder.test_cli import ksbuild, profile
from tests.media.sources import demo_source, el9_iso

__all__ = ["demo_source", "el9_iso", "profile"]

LINK_KEY = "ksbuild-link-" + "5e" * 32


@pytest.fixture
def content(tmp_path: Path, example: Plan) -> dict[str, Any]:
    """What the example's first node would print for its second, with real certificates."""
    folder = tmp_path / "node"
    authority.make_key(run, folder / "ca.key")
    authority.make_key(run, folder / "key")
    return {
        "schema": "ksbuild/ticket/1",
        "agent": VERSION,
        "pair": example.pair.id,
        "plan": example.digest,
        "node": "julius",
        "ca": authority.sign_itself(run, folder / "ca.key", "ksbuild pair"),
        "certificate": authority.sign_itself(run, folder / "key", "julius", "leaf"),
        "key": (folder / "key").read_text(),
        "link_key": LINK_KEY,
        "expires": int(time.time()) + 3600,
    }


def written(folder: Path, content: Any) -> Path:
    path = folder / "ticket"
    path.touch(0o600)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def rejoin(profile: Path, source: Path, given: Path, *more: str, node: str = "julius") -> Any:
    output = profile.parent / "out.iso"
    options = ("--rejoin", node, "--ticket", given, "-o", output, "--offline")
    return ksbuild("iso", profile, "--source", source, *options, *more)


@pytest.mark.parametrize("mode", ["patch", "boot", "oemdrv"])
def test_a_medium_with_the_ticket(
    profile: Path, el9_iso: Path, tmp_path: Path, content: dict[str, Any], mode: str
) -> None:
    given, output = written(tmp_path, content), tmp_path / "out.iso"
    said = rejoin(profile, el9_iso, given, "--mode", mode)
    assert said.exit_code == 0, said.output
    assert "node julius alone" in said.output
    tree = read_tree(output)
    kickstart = tree["ks.cfg"].decode()
    assert kickstart == tree["julius.ks"].decode()
    assert "justinian.ks" not in tree
    for word in ("ca", "certificate", "key", "link_key"):
        assert content[word].strip() in kickstart
    for file in ("ca.crt", "node.crt", "node.key"):
        assert f"put /etc/ksbuild/rejoin/{file} 0600 <<" in kickstart
        assert f"put /etc/ksbuild/introduction/{file}" not in kickstart
    assert "install -d -m 0700 /etc/ksbuild/rejoin" in kickstart
    assert "put /etc/ksbuild/introduction/link.key 0600 <<" in kickstart
    assert not (tmp_path / "pair.keys").exists(), "no keys folder is needed, and none is made"


def test_no_secret_shows(
    profile: Path, el9_iso: Path, tmp_path: Path, content: dict[str, Any]
) -> None:
    given, output = written(tmp_path, content), tmp_path / "out.iso"
    made = rejoin(profile, el9_iso, given, "--json")
    assert made.exit_code == 0
    secrets = [content["key"].splitlines()[2], LINK_KEY]
    told = [made.output, read_tree(output)["ksbuild.json"].decode()]
    for show in ((), ("--json",), ("--show", "ks.cfg"), ("--show", "julius.ks")):
        shown = ksbuild("inspect", output, *show)
        assert shown.exit_code == 0
        told.append(shown.output)
    assert "(secret " in told[-1]
    assert not [secret for secret in secrets if any(secret in text for text in told)]


def broken(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**content, **changes}


OTHER_PAIR = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("changes", "why", "next_"),
    [
        ({"expires": 1_000_000}, "expired at 1970-01-12 13:46 UTC", "ksnode allow-rejoin --out"),
        ({"pair": OTHER_PAIR}, f"is of pair '{OTHER_PAIR}'", "ksnode allow-rejoin --out"),
        ({"node": "justinian"}, "lets 'justinian' come back, not julius", "ksnode allow-rejoin"),
        ({"schema": "ksbuild/ticket/2"}, "is of version 'ksbuild/ticket/2'", "ksnode --version"),
        ({"agent": "0.0.0"}, f"the pair lives by ksbuild 0.0.0, this is {VERSION}", "ksbuild 0.0"),
        ({"plan": "0" * 64}, "the pair lives by plan 0000", "with the profile that the pair was"),
        ({"key": "KSBUILD_PEM\nreboot\n"}, "is no ticket", "ksnode allow-rejoin --out"),
        ({"certificate": "KSBUILD_PEM\nreboot\n"}, "is no ticket", "ksnode allow-rejoin --out"),
        ({"link_key": "KSBUILD_LINK\nreboot\n"}, "is no ticket", "ksnode allow-rejoin --out"),
        ({"ca": None}, "is no ticket", "ksnode allow-rejoin --out"),
        ({"expires": "soon"}, "is no ticket", "ksnode allow-rejoin --out"),
        ({"more": 1}, "is no ticket", "ksnode allow-rejoin --out"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_refused(
    profile: Path,
    el9_iso: Path,
    tmp_path: Path,
    content: dict[str, Any],
    changes: dict[str, Any],
    why: str,
    next_: str,
) -> None:
    said = rejoin(profile, el9_iso, written(tmp_path, broken(content, **changes)))
    assert said.exit_code == 5, said.output
    assert why in said.stderr
    assert next_ in said.stderr.split("next: ")[1]
    assert not (tmp_path / "out.iso").exists()
    assert not (tmp_path / "pair.keys").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"schema": 1}', "\x00"])
def test_no_ticket_at_all(profile: Path, el9_iso: Path, tmp_path: Path, text: str) -> None:
    said = rejoin(profile, el9_iso, written(tmp_path, text))
    assert said.exit_code == 5
    assert "is no ticket" in said.stderr


def test_a_ticket_that_others_can_read(
    profile: Path, el9_iso: Path, tmp_path: Path, content: dict[str, Any]
) -> None:
    given = written(tmp_path, content)
    given.chmod(0o644)
    said = rejoin(profile, el9_iso, given)
    assert said.exit_code == 5
    assert f"next: chmod 600 {given}" in said.stderr
    given.unlink()
    assert rejoin(profile, el9_iso, given).exit_code == 6


def test_what_does_not_fit_together(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    source = ("iso", profile, "--source", el9_iso, "-o", tmp_path / "out.iso")
    for options in (
        ("--rejoin", "julius"),
        ("--ticket", tmp_path / "x"),
        ("--rejoin", "julius", "--ticket", tmp_path / "x", "--node", "julius"),
    ):
        assert ksbuild(*source, *options).exit_code == 2, options
    said = rejoin(profile, el9_iso, tmp_path / "x", node="julis")
    assert said.exit_code == 3
    assert "did you mean julius?" in said.stderr
