"""Every package is looked for before the installer has to: repositories that lack some, or all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from builder.cli import main
from builder.plan.kickstart import PACKAGES
from tests.media.sources import demo_source, el9_iso
from tests.packages.rpms import Rpm, repository
from tests.packages.webserver import Site, serving

__all__ = ["demo_source", "el9_iso"]

ROOT = Path(__file__).parents[2]
COMPS = """<comps><group><id>core</id><name>Core</name><packagelist>
<packagereq type="mandatory">bash</packagereq></packagelist></group></comps>"""
THERE = [*(name for name in PACKAGES if not name.startswith("@")), "bash", "kernel"]


def ksbuild(*arguments: "str | Path") -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    rpms = [Rpm(name, requires=("libdrbd",) if name == "chrony" else ()) for name in THERE]
    folder = repository(tmp_path / "repo", [*rpms, Rpm("libdrbd")], comps=COMPS)
    with serving(None) as found:
        for path in (folder / "repodata").iterdir():
            found.files[f"/repodata/{path.name}"] = path.read_bytes()
        yield found


@pytest.fixture
def profile(site: Site, tmp_path: Path) -> Path:
    """The example, installed from one repository on this machine."""
    lines = (ROOT / "profiles/example.toml").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if "AppStream" not in line)
    path = tmp_path / "pair.toml"
    path.write_text(
        text.replace("https://repo.almalinux.org/almalinux/9/BaseOS/x86_64/os/", site.url)
    )
    return path


def test_all_there(profile: Path) -> None:
    said = ksbuild("validate", "--online", profile)
    assert said.exit_code == 0, said.output


def test_what_is_missing_is_named_with_its_home(profile: Path, el9_iso: Path) -> None:
    text = profile.read_text().replace("[install]", '[install]\npackages = ["pacemaker"]')
    profile.write_text(text)
    said = ksbuild("validate", "--online", profile)
    assert said.exit_code == 4
    assert "packages: error: pacemaker" in said.stderr
    assert "HighAvailability" in said.stderr
    assert ksbuild("validate", profile).exit_code == 0
    output = profile.with_suffix(".iso")
    built = ksbuild("iso", profile, "--source", el9_iso, "-o", output)
    assert built.exit_code == 4
    # The source says which distribution it is, and so where that has it.
    address = "https://repo.almalinux.org/almalinux/9/HighAvailability/x86_64/os/"
    line = f'{{ name = "HighAvailability", url = "{address}" }}'
    assert f"hint: in install.repositories: {line}" in built.stderr
    assert not output.exists()
    built = ksbuild("iso", profile, "--source", el9_iso, "-o", output, "--offline")
    assert built.exit_code == 0


def test_out_of_reach(profile: Path, site: Site, el9_iso: Path) -> None:
    site.files.clear()
    assert ksbuild("validate", "--online", profile).exit_code == 4
    output = profile.with_suffix(".iso")
    built = ksbuild("iso", profile, "--source", el9_iso, "-o", output)
    assert built.exit_code == 0
    assert "warning: the packages are not checked" in built.stderr
