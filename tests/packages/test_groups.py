"""@groups and @^environments of comps.xml against real dnf."""

from pathlib import Path

import pytest

from builder.packages.folder import read_folder
from builder.packages.resolve import resolve
from tests.packages.rpms import Rpm, dnf, repository
from tests.packages.test_resolve import answer

COMPS = """<?xml version="1.0" encoding="UTF-8"?>
<comps>
  <group><id>core</id><name>Core</name><default>true</default><uservisible>true</uservisible>
    <packagelist>
      <packagereq type="mandatory">bash</packagereq>
      <packagereq type="default">sshd</packagereq>
      <packagereq type="optional">zsh</packagereq>
      <packagereq type="mandatory">other-architecture</packagereq>
      <packagereq type="conditional" requires="kde">bash-kde</packagereq>
    </packagelist></group>
  <group><id>tools</id><name>Tools</name><default>true</default><uservisible>true</uservisible>
    <packagelist><packagereq type="mandatory">strace</packagereq></packagelist></group>
  <environment><id>server</id><name>Server</name><display_order>1</display_order>
    <grouplist><groupid>core</groupid></grouplist>
    <optionlist><groupid>tools</groupid></optionlist></environment>
</comps>
"""
RPMS = [
    Rpm("bash", requires=("libc",)),
    *map(Rpm, ("libc", "sshd", "zsh", "bash-kde", "kde", "strace")),
]


@pytest.mark.parametrize(
    "wanted", [["@core"], ["@^server"], ["@core", "@tools"], ["@core", "zsh"], ["@nowhere"]]
)
@pytest.mark.parametrize("packed", ["gz", "xz"])
def test_like_dnf(tmp_path: Path, wanted: list[str], packed: str) -> None:
    folder = repository(
        tmp_path / "repo", RPMS, comps=COMPS, options=(f"--general-compress-type={packed}",)
    )
    asked = [name.replace("^", "") for name in wanted]
    assert answer(resolve([read_folder(folder)], wanted)) == dnf(tmp_path, {"r": folder}, asked)


def test_without(tmp_path: Path) -> None:
    folder = read_folder(repository(tmp_path / "repo", RPMS, comps=COMPS))
    assert names(resolve([folder], ["@core", "-sshd"])) == ["bash", "libc"]
    assert names(resolve([folder], ["@^server", "-@core", "kde"])) == ["kde"]
    # Conditional packages come along with what they are for.
    assert "bash-kde" in names(resolve([folder], ["@core", "kde"]))
    assert "bash-kde" not in names(resolve([folder], ["@core"]))
    assert resolve([folder], ["@core"]).problems == ()
    assert names(resolve([folder], ["@core --nodefaults"])) == ["bash", "libc"]
    assert "zsh" in names(resolve([folder], ["@core --optional"]))


def names(resolution: object) -> list[str]:
    return [package.name for package in resolution.chosen]  # type: ignore[attr-defined]
