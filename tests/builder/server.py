"""A server of files for %pre: the real script, sfdisk, wipefs, dd and blkid on an image.

Only what a kernel would answer is stood in for: sysfs is a folder, and `udevadm settle` reads the
image's table to make what the kernel and udev would. Tests that need a kernel are in tests/uml.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.uml.disk import Partition, partitions, written_extents

GIB = 1 << 30
SENTINEL = b"data that nobody wrote a backup of" * 100
NAMES = ["ks-biosboot", "ks-esp", "ks-boot", "ks-swap", "ks-unfinished", "ks-data"]
_OWN = re.compile(r"/(dev/(?!null\b|zero\b|fd\b|stdin\b)|sys/|proc/|tmp/|run/)")

# What lsblk would say: -d one line a disk, else partitions too; the columns %pre asks for.
_LSBLK = r"""
import json, os, re, sys
root = os.environ["SERVER"]
told = json.load(open(f"{root}/told.json"))
flags, columns, wanted, inverse = "", [], None, False
arguments = sys.argv[1:]
while arguments:
    word = arguments.pop(0)
    if word.startswith("-"):
        flags += word
        if word.endswith("o"):
            columns = arguments.pop(0).upper().split(",")
    else:
        wanted = word.rpartition("/")[2]
for disk, say in sorted(told.items()):
    rows = [(disk, "disk", say)]
    if "d" not in flags:
        parts = [p for p in os.listdir(f"{root}/sys/block/{disk}") if p.startswith(disk)]
        rows += [(p, "part", {}) for p in sorted(parts)]
    for name, kind, say in rows:
        if wanted and wanted not in (disk, name):
            continue
        row = {"NAME": name, "PATH": f"{root}/dev/{name}", "TYPE": kind, **say}
        print(*(row.get(column, "") for column in columns))
"""
# Without site: %pre asks often, and a start-up counts. (PATH may have a slow script for it.)
_PYTHON = f"{sys.executable} -SEI"
_UDEVADM = r"""
import json, os, subprocess
root = os.environ["SERVER"]
links = f"{root}/dev/disk/by-partuuid"
for link in os.listdir(links):
    os.unlink(f"{links}/{link}")
for disk in json.load(open(f"{root}/told.json")):
    image, sysfs = f"{root}/dev/{disk}", f"{root}/sys/block/{disk}"
    done = subprocess.run(["sfdisk", "-J", image], capture_output=True, text=True)
    table = json.loads(done.stdout)["partitiontable"]["partitions"] if done.returncode == 0 else []
    for entry in table:
        name = entry["node"].rpartition("/")[2]
        os.makedirs(f"{sysfs}/{name}", exist_ok=True)
        open(f"{sysfs}/{name}/start", "w").write(str(entry["start"]))
        open(f"{sysfs}/{name}/partition", "w").write(name.removeprefix(disk).lstrip("p"))
        uuid = entry["uuid"].lower()
        if not os.path.lexists(f"{links}/{uuid}"):
            os.symlink(f"../../{name}", f"{links}/{uuid}")
        open(f"{root}/dev/{name}", "a").close()
"""


@dataclass
class Server:
    """One server; `run` starts a kickstart's %pre on it."""

    root: Path
    serial: str = "CZC00014A1"
    macs: tuple[str, ...] = ()
    permanent: dict[str, str] = field(default_factory=dict)  # MAC a port was made with, by MAC now
    cpu: str = "fpu vmx"
    cmdline: str = "inst.ks=hd:LABEL=KSBUILD:/ks.cfg"
    refuses: tuple[str, ...] = ()  # programs that fail
    told: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the folders."""
        for name in ("bin", "dev/disk/by-partuuid", "dev/disk/by-path", "tmp", "proc", "sys/block"):
            (self.root / name).mkdir(parents=True)
        for name, text in (("lsblk", _LSBLK), ("udevadm", _UDEVADM)):
            self.stub(name, text, _PYTHON)
        self.stub("sleep", "exit 0")
        self.stub("curl", 'echo "$@" >>$SERVER/curl')
        self.stub("ip", "exit 0")
        self.stub("ethtool", 'sed "s/^/Permanent address: /" "$SERVER/sys/class/net/$2/permanent"')
        self.stub("systemctl", 'echo "$@" >>$SERVER/systemctl')
        self.stub("lvm", "exit 0")  # this machine's volumes are none of the server's
        # An image is no whole disk to wipefs, which then spares the table.
        self.stub("wipefs", '[ "$1" != -qa ] || set -- --force "$@"; exec /usr/sbin/wipefs "$@"')

    def add_disk(
        self, name: str, gib: float = 950, *, sector: int = 512, minimum: int = 512,
        optimal: int = 0, told: dict[str, str] | None = None,
    ) -> Path:  # fmt: skip
        """Put a blank disk in; `told` is what lsblk says of it."""
        image = self.root / "dev" / name
        with image.open("xb") as file:
            file.truncate(int(gib * GIB))
        self._sysfs(f"block/{name}/size", int(gib * GIB) // 512)
        self._sysfs(f"block/{name}/ro", 0)
        self._sysfs(f"block/{name}/queue/logical_block_size", sector)
        self._sysfs(f"block/{name}/queue/minimum_io_size", minimum)
        self._sysfs(f"block/{name}/queue/optimal_io_size", optimal)
        self.told[name] = told or {}
        return image

    def run(self, kickstart: str) -> "Outcome":
        """Run the kickstart's %pre as Anaconda would, but below this server's root."""
        self._sysfs("class/dmi/id/product_serial", f"{self.serial}      ")
        for number, mac in enumerate(self.macs):
            self._sysfs(f"class/net/eth{number}/address", mac.lower())
            self._sysfs(f"class/net/eth{number}/permanent", self.permanent.get(mac, "not set"))
            (self.root / f"sys/class/net/eth{number}/device").mkdir(exist_ok=True)
        self._sysfs("class/net/lo/address", "00:00:00:00:00:00")
        (self.root / "proc/cmdline").write_text(f"{self.cmdline}\n")
        (self.root / "proc/cpuinfo").write_text(f"flags\t\t: {self.cpu}\n")
        (self.root / "proc/swaps").write_text("Filename Type Size Used Priority\n")
        (self.root / "told.json").write_text(json.dumps(self.told))
        for name in self.refuses:
            self.stub(name, "exit 1")
        (script,) = re.findall(r"^%pre [^\n]*\n(.*?)^%end$", kickstart, re.DOTALL | re.MULTILINE)
        script = _OWN.sub(lambda found: f"{self.root}/{found[1]}", script)
        before = {name: extents(self.root / "dev" / name) for name in self.told}
        done = subprocess.run(
            ["bash"], input=script, capture_output=True, text=True, check=False, cwd=self.root,
            env={"PATH": f"{self.root}/bin:{os.environ['PATH']}", "SERVER": str(self.root)},
        )  # fmt: skip
        written = [name for name in self.told if extents(self.root / "dev" / name) != before[name]]
        said = (done.stdout + done.stderr).replace(f"{self.root}/", "/")
        return Outcome(done.returncode == 0, said, tuple(written))

    def table(self, name: str) -> dict[str, Partition]:
        """The disk's partitions by name."""
        return {entry.name: entry for entry in partitions(self.root / "dev" / name)}

    def fragment(self, name: str) -> str:
        """What %pre left for Anaconda in /tmp."""
        return (self.root / "tmp" / name).read_text()

    def _sysfs(self, name: str, value: object) -> None:
        path = self.root / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    def stub(self, name: str, text: str, interpreter: str = "/bin/sh") -> None:
        """Put a program in front of the real one."""
        path = self.root / "bin" / name
        path.write_text(f"#!{interpreter}\n{text}\n")
        path.chmod(0o755)


@dataclass(frozen=True)
class Outcome:
    """How %pre ended, what it said, and the disks it wrote to."""

    success: bool
    said: str
    written: tuple[str, ...]


def extents(image: Path) -> list[tuple[int, int, bytes]]:
    """All that was ever written to an image."""
    return list(_read(image))


def _read(image: Path) -> Iterator[tuple[int, int, bytes]]:
    with image.open("rb") as file:
        for start, end in written_extents(image):
            file.seek(start)
            yield start, end, file.read(end - start)


def put(image: Path, offset: int, content: bytes) -> None:
    """Write somewhere on an image."""
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def refused(outcome: Outcome, why: str) -> str:
    """The refusal says what was seen and what to do next, and no disk was written to."""
    assert not outcome.success
    assert "REFUSED: " in outcome.said, outcome.said
    assert why in outcome.said, outcome.said
    assert "Next: " in outcome.said
    assert "Nothing was written to any disk." in outcome.said
    assert outcome.written == ()
    return outcome.said


def sfdisk(image: Path, option: str, *words: str) -> None:
    """Change an image's table."""
    subprocess.run(["sfdisk", "-q", option, image, *words], check=True)
