"""`make try`: the demonstration medium boots as one of the servers and runs the real %pre."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cli import main

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]
PROFILE = Path(__file__).parents[2] / "profiles/example.toml"


@pytest.fixture(scope="module")
def medium(demo_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("try")
    arguments = ["iso", PROFILE, "--source", demo_source, "-o", folder / "demo.iso"]
    made = CliRunner().invoke(main, [*map(str, arguments), "--keys", str(folder / "keys")])
    assert made.exit_code == 0, made.output
    return folder / "demo.iso"


def tried(medium: Path, *options: str) -> str:
    said = CliRunner().invoke(main, ["try", str(PROFILE), str(medium), *options])
    assert said.exit_code == 0, said.output
    return said.output


def test_a_server_is_recognised_and_its_disk_partitioned(medium: Path) -> None:
    said = tried(medium, "--node", "julius")
    assert "demonstration: installs nothing" in said
    assert "this is julius (serial 'CZC00014A2')" in said
    rows = [line.split() for line in said.splitlines() if line.startswith("/dev/")]
    starts = {row[4]: int(row[1]) for row in rows}
    assert starts["ks-data"] == 75507712
    assert len(starts) == 6


@pytest.mark.slow
def test_a_stranger_is_refused_and_told_what_was_seen(medium: Path) -> None:
    said = tried(medium, "--serial", "STRANGER")
    assert "REFUSED" in said
    assert "its serial number is 'STRANGER'" in said
    assert "00:25:B3:22:D9:3C" in said
    assert "Nothing was written to any disk" in said
    assert "/dev/sda1" not in said


def test_a_node_that_is_none(medium: Path) -> None:
    said = CliRunner().invoke(main, ["try", str(PROFILE), str(medium), "--node", "nero"])
    assert said.exit_code == 2
    assert "there are justinian, julius" in said.output
