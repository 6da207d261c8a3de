"""ksbuild validate --source: what is on the medium is looked for nowhere else."""

import re
from pathlib import Path

from builder.packages.known import home_of
from tests.builder.test_cli_extras import dvd, extras, ksbuild, local, made, profile, whole_dvd
from tests.builder.wanted import THERE
from tests.media.sources import demo_source

__all__ = ["demo_source", "dvd", "extras", "made", "profile", "whole_dvd"]


def test_validate_counts_them(profile: Path, extras: Path, dvd: Path) -> None:
    """As files behind file: URLs are no web; the DVD is asked only where it is given."""
    words = ("validate", profile, "--extra-packages", extras)
    said = ksbuild(*words)
    assert said.exit_code == 0, said.output
    said = ksbuild(*words, "--source", dvd)
    assert said.exit_code == 0, said.output
    said = ksbuild(*words, "--source", dvd, "--online")
    assert said.exit_code == 0, "nothing is left to be asked of repositories out of reach"
    local(profile)
    said = ksbuild(*words, "--online")
    assert said.exit_code == 4
    assert "python3-lxml" in said.stderr
    (extras / "stray.rpm").write_bytes(b"x")
    stale = ksbuild(*words)
    assert stale.exit_code == 4
    assert "stray.rpm is not listed" in stale.stderr


def test_validate_reads_the_medium(profile: Path, dvd: Path, whole_dvd: Path) -> None:
    """What a DVD has is not called missing, what it lacks is, with the repository for it."""
    assert ksbuild("validate", profile, "--source", whole_dvd).exit_code == 0
    said = ksbuild("validate", profile, "--source", dvd)
    assert said.exit_code == 4
    missing = set(re.findall(r"packages: error: ([\w-]+), wanted", said.stderr))
    assert missing == {name for name in THERE if home_of(name)}
    address = "https://repo.almalinux.org/almalinux/9/HighAvailability/x86_64/os/"
    assert f'hint: in install.repositories: {{ name = "HighAvailability", url = "{address}" }}' in (
        said.stderr
    )
    assert "next: add what the hints name, or look there, too: --online" in said.stderr
    out_of_reach = ksbuild("validate", profile, "--source", dvd, "--online")
    assert out_of_reach.exit_code == 4
    assert "cannot be reached" in out_of_reach.stderr


def test_validate_of_what_is_no_medium(profile: Path) -> None:
    said = ksbuild("validate", profile, "--source", profile)
    assert said.exit_code == 4, said.output
