"""A fence agent of the profile's own, as `custom` runs it: it only believes its stdin."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firstboot import commands
from firstboot.commands import CommandError
from firstboot.fencing.power import Power
from firstboot.fencing.rehearsal import OFF, ON
from firstboot.node import FenceDevice
from firstboot.render import fencedevice
from tests.firstboot.conftest import a_pair

AGENT = f"""#!{sys.executable}
import pathlib, sys
folder = pathlib.Path(__file__).parent
assert not sys.argv[1:], sys.argv
options = dict(line.rstrip("\\n").split("=", 1) for line in sys.stdin)
action = options.pop("action")
(folder / "asked").open("a").write(f"{{action}} {{sorted(options.items())}}\\n")
plug = folder / options["plug"]
if action == "status":
    sys.exit(2 if plug.exists() else 0)
if action not in ("on", "off") or (folder / "jammed").exists():
    sys.exit("Failed: Unable to obtain correct plug status or plug is not available")
plug.touch() if action == "off" else plug.unlink(missing_ok=True)
"""


class Below:
    """Runs what lies below a scratch root in place of the machine's own /usr/sbin."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(self, argv: Sequence[str], **how: Any) -> commands.Result:
        assert argv[0].startswith("/usr/sbin/")
        return commands.run([str(self._root) + argv[0], *argv[1:]], **how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the agent lies and what it is plugged into: a file for each plug that is off."""
    folder = tmp_path / "usr/sbin"
    folder.mkdir(parents=True)
    (folder / "fence_strip").write_text(AGENT)
    (folder / "fence_strip").chmod(0o755)
    (tmp_path / "etc/ksbuild/secrets").mkdir(parents=True)
    return folder


def power(root: Path, user: str, secret: str, address: str | None = None) -> Power:
    """julius's, as justinian has it."""
    pair = a_pair()
    strip = FenceDevice(1, "custom", address, None, user, None, "/usr/sbin/fence_strip")
    second = replace(pair.nodes[1], fencing=(strip,))
    (*_, device) = fencedevice.devices(replace(pair, nodes=(pair.nodes[0], second)))
    (root / "etc/ksbuild/secrets" / device.secret).write_text(secret)
    return Power(root, Below(root), [device])


def test_its_plug_is_the_node(folder: Path, tmp_path: Path) -> None:
    strip = power(tmp_path, "ksfence", "")
    assert strip.state() == ON
    strip.off()
    assert strip.state() == OFF
    assert (folder / "julius").exists()
    strip.on()
    assert strip.state() == ON
    given = "[('nodename', 'julius'), ('plug', 'julius'), ('username', 'ksfence')]"
    actions = ("status", "off", "status", "on", "status")
    assert (folder / "asked").read_text().splitlines() == [f"{a} {given}" for a in actions]


def test_it_gets_address_and_password_where_there_are_any(folder: Path, tmp_path: Path) -> None:
    strip = power(tmp_path, "apc", "s3cret=", "10.0.0.7")
    assert strip.state() == ON
    (asked,) = (folder / "asked").read_text().splitlines()
    for given in (("ip", "10.0.0.7"), ("password", "s3cret="), ("username", "apc")):
        assert repr(given) in asked


def test_what_it_can_not_do_is_an_error(folder: Path, tmp_path: Path) -> None:
    (folder / "jammed").touch()
    strip = power(tmp_path, "ksfence", "", "10.0.0.7")
    with pytest.raises(CommandError) as error:
        strip.off()
    (said, way_out) = str(error.value).split("; next: ")
    assert re.match(r"fence_strip at 10\.0\.0\.7: off: \S+ exited 1: Failed: Unable", said)
    assert "10.0.0.7" in way_out
    assert strip.state() == ON


@pytest.mark.usefixtures("folder")
def test_it_neither_names_a_machine_nor_sets_its_next_boot(tmp_path: Path) -> None:
    strip = power(tmp_path, "ksfence", "")
    assert strip.guids() == []
    assert not strip.boot_from_disk(efi=True)
