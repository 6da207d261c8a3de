"""Rendered files, each checked by the program that will read it."""

import configparser
import subprocess
from pathlib import Path

import pytest

from firstboot.configfile import ConfigFile
from firstboot.render import render
from tests.firstboot.conftest import an_identity

# What NetworkManager 1.42 adds to, or spells otherwise in, what it was given.
ADDED = {("ipv6", "addr-gen-mode")}
EMPTY_SECTIONS = {"proxy"}


def keyfiles() -> list[ConfigFile]:
    files = [f for f in render(an_identity()) if f.path.suffix == ".nmconnection"]
    assert len(files) == 4
    return files


def keys(text: str) -> dict[tuple[str, str], str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {(s, k): v for s in parser.sections() for k, v in parser[s].items()}


@pytest.mark.parametrize("file", keyfiles(), ids=lambda f: str(f.path.name))
def test_networkmanager_keeps_every_key(file: ConfigFile) -> None:
    """Unknown keys vanish without an error, so what comes back is compared with what went in."""
    done = subprocess.run(
        ["nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes"],
        input=file.text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    came = keys(done.stdout)
    assert {k: v for k, v in came.items() if k not in ADDED} == keys(file.text)


def test_a_misspelt_key_would_be_noticed() -> None:
    text = keyfiles()[1].text.replace("mac-address=", "mac-adress=")
    done = subprocess.run(
        ["nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes"],
        input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ("ethernet", "mac-adress") not in keys(done.stdout)


def test_keyfiles_are_private_and_ports_are_named_by_mac() -> None:
    files = keyfiles()
    assert {file.mode for file in files} == {0o600}
    macs = [keys(file.text).get(("ethernet", "mac-address")) for file in files]
    assert tuple(macs[1:]) == an_identity().me.crossover_ports
    uuids = {keys(file.text)["connection", "uuid"] for file in files}
    assert len(uuids) == 4


def test_firewalld_takes_the_zone(tmp_path: Path) -> None:
    (zone,) = (f for f in render(an_identity()) if "firewalld" in str(f.path))
    configuration = tmp_path / "firewalld"
    (configuration / "zones").mkdir(parents=True)
    target = configuration / "zones" / zone.path.name

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["firewall-offline-cmd", "--system-config", str(configuration), "--check-config"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    target.write_text(zone.text.replace("8443", "eight"))
    assert check().returncode != 0
    target.write_text(zone.text)
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_platform_without_firewalld_gets_no_zone() -> None:
    files = render(an_identity(platform="debian12-lab"))
    assert not [f for f in files if "firewalld" in str(f.path)]
    assert not [f for f in files if "zone=" in f.text]
