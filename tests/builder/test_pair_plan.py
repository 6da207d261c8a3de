"""ksbuild plan --out: what a living node takes, the same every time, without a secret."""

from pathlib import Path

import pytest

from builder.plan.pair import pair
from builder.profile.load import load
from firstboot import planfile
from firstboot.node import SCHEMA, Account, Identity, plan_digest
from tests.builder.test_cli import ksbuild, profile
from tests.firstboot.plans import as_plan

__all__ = ["profile"]


def test_the_node_reads_what_is_written(profile: Path, tmp_path: Path) -> None:
    out = tmp_path / "pair.plan"
    text = profile.read_text().replace("[pair]", '[pair]\ndescription = "of Rome"')
    profile.write_text(text)
    said = ksbuild("plan", profile, "--out", out)
    assert said.exit_code == 0, said.stderr
    planned = pair(load(profile).profile)
    assert plan_digest(planned) in said.stdout
    justinian = Identity(SCHEMA, "justinian", planned, "of Rome")
    assert planfile.parse(out.read_text(), justinian) == justinian
    assert out.read_text() == as_plan(justinian)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["pair.plan", "pair.toml"], "and no keys were made for it"


def test_an_older_plan_stays(profile: Path, tmp_path: Path) -> None:
    out = tmp_path / "pair.plan"
    out.write_text("kept")
    said = ksbuild("plan", profile, "--out", out)
    assert said.exit_code == 5
    assert "pair.plan is there already" in said.stderr
    assert out.read_text() == "kept"


def test_nothing_of_a_password_is_in_it(profile: Path, tmp_path: Path) -> None:
    hashed = "$6$abcdefgh$" + "x" * 86
    access = f'[access]\nroot_password_hash = "{hashed}"\n'
    profile.write_text(profile.read_text().replace("[access]\n", access))
    out = tmp_path / "pair.plan"
    assert ksbuild("plan", profile, "--out", out).exit_code == 0
    assert hashed not in out.read_text()


@pytest.mark.parametrize("name", ["root", "ada"])
def test_whose_keys_they_are(profile: Path, name: str) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBjL0sVZ2sGkYYyVQ6i2J8c9mW3q1m7nqk1hJ0o5d8Zk x"
    head, _, _ = profile.read_text().partition("[access]")
    _, _, tail = profile.read_text().partition("[storage]")
    own = f'ssh_keys = ["{key}"]\n'
    access = own if name == "root" else f'{own}users = [{{ name = "ada", ssh_keys = ["{key}"] }}]\n'
    profile.write_text(f"{head}[access]\n{access}[storage]{tail}")
    assert Account(name, (key,)) in pair(load(profile).profile).accounts
