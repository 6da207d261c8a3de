"""The pair of profiles/lab.toml as machines: its medium, two servers, cables, LAN and BMCs."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from builder.plan.bootmenu import INSTALL
from builder.plan.pair import pair
from builder.profile.load import load
from builder.profile.model import NodeSection
from firstboot.node import plan_digest
from tests.uml import installation
from tests.uml.bmc import Bmc
from tests.uml.disk import blank_disk, is_blank, partition
from tests.uml.images import BMC_PASSWORD, Images
from tests.uml.installation import Verdict
from tests.uml.lab import Cable, End, Lab, Tap
from tests.uml.machine import Machine, Nic, scratch_folder
from tests.uml.outlet import Outlet
from tests.uml.running import Running
from tests.uml.shell import Shell

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "profiles/lab.toml"
KSBUILD = ROOT / ".venv/bin/ksbuild"
DISK_GIB = 46
NODE_MIB = 640
PATIENCE_S = 1500.0  # from power-on to both nodes' RESULT
STATE = "/var/lib/ksbuild"


def build_medium(
    source: Path, output: Path, keys: Path, profile: Path = PROFILE, *, node: str = ""
) -> Path:
    """Make the pair's medium, or one for a node alone, as a user would."""
    files = [profile, "--source", source, "--output", output, "--keys", keys, "--offline"]
    only = ["--node", node] if node else []
    subprocess.run([KSBUILD, "iso", *map(str, files), *only], check=True, capture_output=True)
    return output


def boot_arguments(medium: Path, entry: str) -> list[str]:
    """The kernel arguments that the medium's own BIOS menu gives for this entry."""
    from pycdlib import PyCdlib

    iso = PyCdlib()
    iso.open(str(medium))
    with iso.open_file_from_iso(rr_path="/isolinux/isolinux.cfg") as file:
        config = file.read().decode()
    iso.close()
    found = re.search(rf"^label {entry}$.*?^\s*append (.*?)$", config, re.DOTALL | re.MULTILINE)
    assert found, config
    return [word for word in found[1].split() if not word.startswith("initrd=")]


@dataclass
class Server:
    """One of the two machines: its disk and what its consoles said."""

    section: NodeSection
    nics: list[Nic]
    disk: Path
    folder: Path
    outlet: Outlet
    more_disks: list[Path] = field(default_factory=list)
    clock_offset_s: int = 0

    @property
    def name(self) -> str:
        """The node this server is meant to be."""
        return self.section.name

    @property
    def address(self) -> str:
        """Its address in the local network."""
        return self.section.uplink.address.partition("/")[0]


@dataclass
class TestPair:
    """Both servers, cabled port by port, and their medium."""

    __test__ = False

    lab: Lab
    images: Images
    medium: Path
    folder: Path
    profile: Path = PROFILE
    crossed: tuple[Sequence[End], Sequence[End]] = ((), ())
    cables: list[Cable] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    disk_gib: int = DISK_GIB
    node_mib: int = NODE_MIB
    write_cache: bool = False  # of the nodes' disks, when they run from them

    def __post_init__(self) -> None:
        """Cable the servers: the uplink, then each crossover port to its like or as `crossed`."""
        self.scratch = Path(tempfile.mkdtemp(prefix="ksbuild-pair-", dir=scratch_folder()))
        checked = load(self.profile).profile
        self.plan, sections = pair(checked), checked.node
        bmcs = [section.fencing[0].address for section in sections]
        prefix = sections[0].uplink.address.partition("/")[2]
        gateway = sections[0].uplink.gateway
        self.lab.lan(*(f"{address}/{prefix}" for address in (gateway, *bmcs)))
        if not any(self.crossed):
            self.cables = [self.lab.cable() for _ in sections[0].crossover.ports]
            self.crossed = [each.a for each in self.cables], [each.b for each in self.cables]
        for number, section in enumerate(sections):
            folder = self.folder / section.name
            folder.mkdir(parents=True)
            disk = blank_disk(self.scratch / f"{section.name}.img", self.disk_gib)
            outlet = Outlet(section.name, partial(self._boot, number))
            self.servers.append(Server(section, self._nics(section, number), disk, folder, outlet))
        self.bmcs = [self.a_bmc(server) for server in self.servers]

    def close(self) -> None:
        """Switch the BMCs and the servers off, and throw the disks away."""
        for bmc, server in zip(self.bmcs, self.servers, strict=True):
            bmc.close()
            server.outlet.switch_off()
        shutil.rmtree(self.scratch)

    @property
    def platform(self) -> str:
        """What the servers are, as report.json tells it."""
        return "uml"

    @property
    def patience_s(self) -> float:
        """How long both may take from power-on to their RESULT."""
        return PATIENCE_S

    @property
    def digest(self) -> str:
        """The plan digest both nodes must name."""
        return plan_digest(self.plan)

    def install(
        self,
        server: Server,
        *,
        entry: str = "",
        arguments: Sequence[str] = (),
        script: str = "",
    ) -> Verdict:
        """Boot the medium on a server, by default with the menu's default entry."""
        return installation.install(
            **self._installer(server),
            arguments=[*boot_arguments(self.medium, entry or INSTALL), *arguments],
            script=script,
        )

    def start_installer(self, server: Server, *, entry: str = INSTALL) -> Machine:
        """Boot the medium on a server, and leave it running."""
        return installation.start_installer(
            **self._installer(server), arguments=boot_arguments(self.medium, entry)
        )

    def _installer(self, server: Server) -> dict[str, Any]:
        return {
            "lab": self.lab,
            "name": f"install-{server.name}",
            "images": self.images,
            "disk": server.disk,
            "medium": self.medium,
            "nics": server.nics,
            "folder": server.folder / "install",
            "more_disks": server.more_disks,
        }

    def install_both(self) -> list[Verdict]:
        """Install both servers at the same time."""
        with ThreadPoolExecutor() as threads:
            try:
                return list(threads.map(self.install, self.servers))
            except BaseException:
                self.lab.close()  # the other installer would be waited for
                raise

    def _boot(self, number: int, boot: int) -> Running | None:
        server = self.servers[number]
        if is_blank(server.disk):
            return None
        return installation.start_node(
            self.lab,
            server.name,
            disk=server.disk,
            root_uuid=partition(server.disk, "ks-root").uuid,
            nics=server.nics,
            console=server.folder / f"console-{boot}",
            memory=self.node_mib,
            write_cache=self.write_cache,
            clock_offset_s=server.clock_offset_s,
        )

    def a_bmc(self, server: Server, *, switches: Server | None = None) -> Bmc:
        """Its BMC with power, anew after close(); wired to the other server by mistake."""
        device = server.section.fencing[0]
        assert device.address
        return Bmc(
            self.lab,
            (switches or server).outlet,
            address=device.address,
            user=device.user,
            password=BMC_PASSWORD,
            guid=uuid.uuid5(uuid.UUID(self.plan.id), (switches or server).name),
        )

    def on(self, server: Server, command: str, *, timeout: float = 60) -> str:
        """What a command printed on a node; to look, or to break something."""
        return self.shell.run(server.address, command, timeout=timeout)

    @property
    def shell(self) -> Shell:
        """The way in; its key lies beside the medium."""
        return Shell(self.lab, self.medium.parent)

    def pull_cable(self, cable: Cable) -> None:
        """Let nothing through a cable from now on; what its ends see of that: Lab.pull_cable."""
        self.lab.pull_cable(cable)

    def plug_cable(self, cable: Cable) -> None:
        """Undo that."""
        self.lab.plug_cable(cable)

    def uplink_of(self, server: Server) -> Tap:
        """Its port of the local network."""
        end = server.nics[0].end
        assert isinstance(end, Tap)
        return end

    def root_number(self, server: Server) -> int:
        """The number of the server's root partition."""
        return partition(server.disk, "ks-root").number

    def _nics(self, section: NodeSection, number: int) -> list[Nic]:
        macs = [section.uplink.ports[0], *section.crossover.ports]
        ends: list[End | Tap] = [self.lab.lan_port(), *self.crossed[number]]
        return [Nic(mac, end) for mac, end in zip(macs, ends, strict=True)]
