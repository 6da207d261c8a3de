"""A node of a complete pair gets a blank disk, and comes back by a ticket; the other goes on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.bringup import Stock, complete_pair
from tests.uml.disk import blank_disk
from tests.uml.images import Images
from tests.uml.pair import KSBUILD, PROFILE, STATE, TestPair

pytestmark = [pytest.mark.uml, pytest.mark.slow, pytest.mark.timeout(3600)]

COMPLETE_S, AGAIN_S = 1500.0, 900.0
DISK_GIB = 38  # 2 GiB of data: all of it is copied
# Appends a number five times a second, each on the disk before the next.
WRITER = "n=0; f=/srv/vmdata/writer; while n=$((n+1)); echo $n; do sync $f; sleep 0.2; done >$f"


@pytest.fixture(scope="module")
def pair(
    pair_images: Images, el9_iso: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestPair]:
    """A complete pair with a file on it, both nodes running."""
    folder = tmp_path_factory.mktemp("rejoin")
    profile, text = folder / "small.toml", PROFILE.read_text()
    assert text.count("[44, 52]") == 2
    profile.write_text(text.replace("[44, 52]", f"[{DISK_GIB}, 52]"))
    stock = Stock(el9_iso, pair_images)
    with complete_pair(stock, folder / "pair", profile, disk_gib=DISK_GIB) as made:
        yield made


def lose_disk(pair: TestPair, number: int) -> None:
    """The server dies with its disk; the other node cuts its power and gives it back."""
    server, bmc = pair.servers[number], pair.bmcs[number]
    ons = bmc.told("on")
    server.outlet.switch_off()
    server.disk.unlink()
    blank_disk(server.disk, DISK_GIB)
    end = time.monotonic() + AGAIN_S
    while bmc.told("on") == ons:
        assert time.monotonic() < end, "it was never fenced"
        time.sleep(0.5)
    fenced = "while crm_mon -1 | grep -q UNCLEAN; do sleep 1; done"
    pair.on(pair.servers[1 - number], fenced, timeout=AGAIN_S)
    server.outlet.switch_off()


def make_medium(pair: TestPair, source: Path, number: int) -> Path:
    """What a human does: a ticket on the node that lives, a medium where the profile is."""
    server, survivor = pair.servers[number], pair.servers[1 - number]
    folder = pair.medium.parent
    given = folder / f"ticket-{server.name}"
    given.touch(0o600)
    given.write_text(pair.on(survivor, "ksnode allow-rejoin --for 2h 2>/dev/null"))
    output = folder / f"rejoin-{server.name}.iso"
    options = ["--rejoin", server.name, "--ticket", given, "--keys", folder / "no-keys"]
    argv = [KSBUILD, "iso", folder / "pair.toml", "--source", source, "-o", output, "--offline"]
    done = subprocess.run([*map(str, [*argv, *options])], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not (folder / "no-keys").exists()
    return output


def test_a_new_disk_comes_back_while_the_other_node_works(pair: TestPair, el9_iso: Path) -> None:
    survivor, newcomer = pair.servers
    pair.on(survivor, f"echo '{WRITER}' >/root/writer")
    pair.on(survivor, "systemd-run --quiet --unit=writer bash /root/writer")
    boot = pair.on(survivor, "cat /proc/sys/kernel/random/boot_id")
    offs, boots = pair.bmcs[0].told("off"), len(survivor.outlet.machines)
    lose_disk(pair, 1)
    pair.medium = make_medium(pair, el9_iso, 1)
    verdict = pair.install(newcomer)
    assert verdict.success, verdict.reason + verdict.script_tail
    fired = pair.bmcs[1].told("off")
    shown = newcomer.outlet.console_text().count("ksnode: complete")
    newcomer.outlet.switch_on()
    newcomer.outlet.wait_console("ksnode: complete", COMPLETE_S, after=shown)
    assert pair.on(newcomer, "cat /srv/vmdata/file") == "kept\n"
    assert "gfs2" in pair.on(newcomer, "grep /srv/vmdata /proc/mounts")
    # The node that went on: the same boot, never cut off, its writer never failed.
    assert pair.on(survivor, "cat /proc/sys/kernel/random/boot_id") == boot
    assert len(survivor.outlet.machines) == boots
    assert pair.bmcs[0].told("off") == offs
    assert pair.bmcs[1].told("off") == fired, "nobody was cut off to prove anything"
    assert pair.on(survivor, "systemctl is-active writer") == "active\n"
    pair.on(survivor, "systemctl stop writer; sync")
    written = pair.on(newcomer, "cat /srv/vmdata/writer").split()
    assert written == [str(n) for n in range(1, len(written) + 1)]
    assert len(written) > 100
    # Used up, on both sides; and both can do it again.
    assert (
        "no such file" in pair.on(survivor, "cat /etc/ksbuild/pair/ticket.json 2>&1 || :").lower()
    )
    for path in ("/etc/ksbuild/pair/ca.key", "/etc/ksbuild/secrets/authkey"):
        sums = {pair.on(server, f"sha256sum {path}") for server in pair.servers}
        assert len(sums) == 1
    proof = pair.on(newcomer, f"cat {STATE}/fencing-proven")
    assert "taken over from justinian" in proof
    for server in pair.servers:
        assert "Promoted: [ julius justinian ]" in pair.on(server, "crm_mon -1rf").replace(
            "justinian julius", "julius justinian"
        )
