"""Where no account can be made in-band, validate wants the password's file."""

from pathlib import Path

import pytest

from builder.profile.load import load
from builder.profile.problems import ProfileError

ROOT = Path(__file__).parents[2]
NEEDS = "give password_file"


def problems_of(profile: Path) -> list[tuple[str, str]]:
    try:
        load(profile)
    except ProfileError as error:
        return [(problem.code, problem.message) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ('agent = "ilo4"', 'agent = "ilo4"', 0),
        ('agent = "ilo4"', 'agent = "redfish"', 2),
        ('agent = "ilo4"', 'agent = "redfish"\npassword_file = "/root/bmc"', 0),
    ],
)
def test_redfish_needs_a_password_file(tmp_path: Path, old: str, new: str, problems: int) -> None:
    text = (ROOT / "profiles/example.toml").read_text().replace(old, new)
    (tmp_path / "pair.toml").write_text(text)
    found = [p for p in problems_of(tmp_path / "pair.toml") if p[0] == "KS135"]
    assert len(found) == problems
    assert all(NEEDS in text for _, text in found)


def test_a_platform_without_in_band_ipmi_needs_one(tmp_path: Path) -> None:
    text = (ROOT / "profiles/lab.toml").read_text()
    assert not [p for p in problems_of(ROOT / "profiles/lab.toml") if p[0] == "KS135"]
    (tmp_path / "lab.toml").write_text(text.replace(', password_file = "/root/bmc-password"', ""))
    found = [p for p in problems_of(tmp_path / "lab.toml") if p[0] == "KS135"]
    assert len(found) == 2
