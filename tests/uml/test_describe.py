"""The entry "Describe this server" on a real kernel: a stick gets the file, the disk nothing."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from builder.plan.bootmenu import DESCRIBE
from tests.uml.disk import blank_disk
from tests.uml.guard import SENTINEL, digest, put
from tests.uml.images import Images
from tests.uml.lab import Lab
from tests.uml.pair import TestPair, build_medium

pytestmark = [pytest.mark.uml, pytest.mark.timeout(300)]


def test_the_description_is_written_to_the_stick(
    images: Images, el9_iso: Path, tmp_path: Path
) -> None:
    medium = build_medium(el9_iso, tmp_path / "pair.iso", tmp_path / "keys")
    with Lab() as lab:
        pair = TestPair(lab, images, medium, tmp_path / "servers")
        server = pair.servers[0]
        put(server.disk, 5 << 30, SENTINEL)
        before = digest(server.disk)
        stick = blank_disk(pair.scratch / "stick.img", 1)
        subprocess.run(["mkfs.vfat", "-n", "KSBUILD-OUT", stick], check=True, capture_output=True)
        server.more_disks.append(stick)
        machine = pair.start_installer(server, entry=DESCRIBE)
        machine.wait_console("this server is described", 120)
        machine.power_cut()
        assert digest(server.disk) == before
        argv: list[str | Path] = ["mcopy", "-i", stick, "::server.toml", "-"]
        text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        pair.close()
    found = tomllib.loads(text)
    assert {port["mac"] for port in found["port"]} == {
        *server.section.uplink.ports,
        *server.section.crossover.ports,
    }
    sizes = {disk["name"]: disk["size_gib"] for disk in found["disk"]}
    assert sizes["ubda"] == 46
