"""One played server: its folder for `/`, what its kernel shows there, power, ports and boots."""

from __future__ import annotations

import configparser
import json
import shutil
from pathlib import Path
from typing import Any

from firstboot.journal import STATE
from firstboot.node import Identity, from_json, partition_uuid, to_json
from firstboot.render import kernel
from firstboot.render.networkmanager.keyfile import CONNECTIONS
from firstboot.render.systemd import GATE
from tests.firstboot.conftest import MACS, PEER_MACS
from tests.pair.disk import Disk
from tests.pair.replicated import Partition
from tests.pair.services import WANTS, Services

DURABLE = ("etc", "var", "srv", "usr", "root")
PORTS = ("eno1", "ens1", "ens2", "ens3")
GATE_LINK = WANTS / GATE
LINK_KEY = "ksbuild-link-" + "5e" * 32
_INSTALLERS = """[connection]
id=eno1
uuid=11111111-1111-4111-8111-111111111111
type=ethernet
interface-name=eno1
"""


class Machine:
    """What outlives an agent. `partition` is the disk's, the rest of it the installer makes."""

    def __init__(self, root: Path, identity: Identity, password: str) -> None:
        self.root, self.identity, self.password = root, identity, password
        self.name = identity.node
        self.power = False
        self.boots = 0
        self.wall_offset = 0.0
        self.shared: Path | None = None  # what is mounted at /srv/vmdata
        self.immutable = False
        self.loaded: dict[str, dict[str, dict[str, str]]] = {}  # NetworkManager's profiles
        self.up: dict[str, dict[str, dict[str, str]]] = {}  # active ones, as they were then
        self.services = Services(root)
        (root / "dev").mkdir(parents=True)
        self.partition = Partition(root / "dev/sda6")
        self.install()

    @property
    def boot_id(self) -> str:
        return f"boot {self.boots} of {self.name}"

    def install(self) -> None:
        """The system anew; the data partition stays as it is."""
        for folder in DURABLE:
            shutil.rmtree(self.root / folder, ignore_errors=True)
        connections = self._below(CONNECTIONS)
        for folder in ("etc/ksbuild/introduction", str(STATE), "srv", "usr/sbin", "root"):
            (self.root / folder).mkdir(parents=True)
        connections.mkdir(parents=True)
        (connections / "eno1.nmconnection").write_text(_INSTALLERS)
        (self.root / "etc/ksbuild/node.json").write_text(to_json(self.identity))
        (self.root / "etc/ksbuild/introduction/link.key").write_text(f"{LINK_KEY}\n")
        (self.root / "root/bmc").touch(0o600)
        (self.root / "root/bmc").write_text(f"{self.password}\n")
        self.immutable = False
        self.services.install()
        self.disks = {folder: Disk(self.root / folder) for folder in DURABLE}
        self.partition.lay()

    def reread(self) -> Identity:
        """Who it is by now: a change of plan writes node.json anew."""
        self.identity = from_json((self.root / "etc/ksbuild/node.json").read_text())
        return self.identity

    def settle(self) -> None:
        """sync(2) of the system's disk; what is mounted over a folder of it is not on it."""
        shared = self.shared
        self.unmount()
        for disk in self.disks.values():
            disk.settle()
        if shared is not None:
            self.mount(shared)

    def keeps(self, path: str) -> bool:
        """Whether the path is on the system's disk, or what the agent leaves for this boot."""
        top = path[len(str(self.root)) + 1 :].partition("/")[0]
        return path.startswith(f"{self.root}/") and top in (*DURABLE, "run")

    def fsync(self, path: str) -> None:
        """fsync(2)."""
        top = path[len(str(self.root)) + 1 :].partition("/")[0]
        if top in self.disks:
            self.disks[top].note(path)

    def forget(self) -> None:
        """What was not synced is gone."""
        for disk in self.disks.values():
            disk.power_cut()

    def boot(self) -> None:
        """The kernel starts, and NetworkManager what it has profiles of."""
        self.power = True
        self.boots += 1
        for folder in ("proc", "sys", "run"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        self._write("proc/sys/kernel/random/boot_id", self.boot_id)
        self._write("proc/sys/kernel/hostname", self.name)
        self._write("proc/mounts", "/dev/sda5 / xfs rw 0 0\n")
        for name in kernel.settings(self.identity):
            self._write(f"proc/sys/{name.replace('.', '/')}", "0")
        if self._below(kernel.SYSCTL).exists():
            self.apply_settings()
        for module in ("drbd", "gfs2", "dlm"):
            (self.root / "sys/module" / module).mkdir(parents=True)
        (self.root / "run").mkdir()
        uuid = partition_uuid(self.identity.pair.id, self.name, "data")
        link = self.root / "dev/disk/by-partuuid" / uuid
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to("../../sda6")
        self._write("sys/class/block/sda6/start", "75497472")
        name = "ks-wiped" if self.partition.was == "wiped" else "ks-data"
        self._write("sys/class/block/sda6/uevent", f"PARTNAME={name}\n")
        for port in PORTS:
            self._write(f"sys/class/net/{port}/flags", "0x1003")
            self._write(f"sys/class/net/{port}/bonding_slave/mii_status", "up\n")
        self._write("sys/kernel/mm/ksm/pages_sharing", "0\n")
        self._write("proc/cpuinfo", "flags\t\t: fpu vmx\n")
        self.services.boot()
        self.loaded, self.up = {}, {}
        self.reload()
        for name in self.loaded:
            if not self.loaded[name]["connection"].get("master"):
                self.activate(name)

    def apply_settings(self) -> None:
        for line in self._below(kernel.SYSCTL).read_text().splitlines():
            name, equals, value = line.partition(" = ")
            if equals and not line.startswith("#"):
                self._write(f"proc/sys/{name.replace('.', '/')}", value)

    def reload(self) -> None:
        """NetworkManager reads its profiles; one of a file that is gone, or no profile, goes."""
        self.loaded = {}
        for path in sorted(self._below(CONNECTIONS).glob("*.nmconnection")):
            found = configparser.ConfigParser()
            found.read_string(path.read_text())
            if found.has_section("connection"):
                profile = {title: dict(found[title]) for title in found.sections()}
                self.loaded[profile["connection"]["id"]] = profile

    def activate(self, name: str) -> bool:
        """nmcli connection up; with it come the ports that are its own."""
        if name not in self.loaded:
            return False
        self.up[name] = self.loaded[name]
        interface = self.loaded[name]["connection"].get("interface-name")
        for port, profile in self.loaded.items():
            if profile["connection"].get("master") == interface:
                self.up[port] = profile
        if interface == "bond0":
            self._show_bond()
        return True

    def delete(self, name: str) -> None:
        """nmcli connection delete: the file goes as well, and nobody syncs the folder."""
        self.loaded.pop(name, None)
        self.up.pop(name, None)
        (self._below(CONNECTIONS) / f"{name}.nmconnection").unlink(missing_ok=True)

    def _show_bond(self) -> None:
        profile = self.loaded["ks-bond0"]
        self._write("sys/class/net/bond0/bonding/mode", f"{profile['bond']['mode']} 0")
        self._write("sys/class/net/bond0/bonding/miimon", profile["bond"]["miimon"])
        self._write("sys/class/net/bond0/bonding/slaves", " ".join(self._bonded()))
        self._write("sys/class/net/bond0/mtu", profile["ethernet"]["mtu"])

    def _bonded(self) -> list[str]:
        macs = {p["ethernet"]["mac-address"] for p in self._up() if _master(p) == "bond0"}
        return [port for port, mac in self._macs().items() if mac in macs]

    def _macs(self) -> dict[str, str]:
        crossover = MACS if self.identity.first else PEER_MACS
        return dict(zip(PORTS, (self.identity.me.uplink.ports[0], *crossover), strict=True))

    def _up(self) -> list[dict[str, dict[str, str]]]:
        return list(self.up.values())

    def links(self) -> list[dict[str, Any]]:
        """What `ip -j -d` shows, in the keys of iproute2 6.1 that are in use."""
        found: list[dict[str, Any]] = []
        profiles = self._up()
        for port, mac in self._macs().items():
            shown: dict[str, Any] = {"ifname": port, "link_type": "ether", "mtu": 1500}
            shown["address"] = mac.lower()
            master = next((_master(p) for p in profiles if _is_for(p, mac)), "")
            if master:
                shown["master"] = master
                shown["linkinfo"] = {"info_slave_kind": "bond" if master == "bond0" else "bridge"}
            found.append(shown)
        for profile in profiles:
            kind = profile["connection"]["type"]
            if kind in ("bridge", "bond"):
                found.append(_shown(profile))
            elif kind == "vlan":
                below = profile["vlan"]["parent"]
                carrier = next(p for p in profiles if p["connection"]["uuid"] == below)
                mac = carrier["ethernet"]["mac-address"]
                port = next(name for name, its in self._macs().items() if its == mac)
                found.append({**_shown(profile), "link": port, "master": _master(profile)})
        return found

    def mount(self, shared: Path) -> None:
        """Pacemaker's Filesystem mounts it over the empty folder."""
        place = self.root / "srv/vmdata"
        assert not any(place.iterdir()), "mounted over somebody's files"
        place.rmdir()
        place.symlink_to(shared)
        self.shared = shared
        mounted = "/dev/drbd0 /srv/vmdata gfs2 rw,noatime,nodiratime 0 0\n"
        self._write("proc/mounts", f"/dev/sda5 / xfs rw 0 0\n{mounted}")

    def unmount(self) -> None:
        place = self.root / "srv/vmdata"
        if self.shared is not None:
            self.shared = None
            place.unlink()
            place.mkdir()
            self._write("proc/mounts", "/dev/sda5 / xfs rw 0 0\n")

    def show_drbd(self, text: str, *, up: bool) -> None:
        """/proc/drbd, and the device while the resource is up."""
        self._write("proc/drbd", text)
        for path, target in (("dev/drbd0", "sda6"), ("sys/block/drbd0", "../../dev/sda6")):
            link = self.root / path
            link.parent.mkdir(parents=True, exist_ok=True)
            if up and not link.is_symlink():
                link.symlink_to(target)
            elif not up:
                link.unlink(missing_ok=True)

    def told(self, name: str) -> Any:
        """What one of the agent's files says; None where there is none."""
        path = self.root / STATE / name
        return json.loads(path.read_text()) if path.exists() else None

    def latched(self, latch: str) -> bool:
        return (self.root / STATE / latch).exists()

    def _below(self, path: Any) -> Path:
        return self.root / str(path).lstrip("/")

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _shown(profile: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A link that is no port."""
    kind = profile["connection"]["type"]
    info: dict[str, Any] = {"info_kind": kind, "info_data": {}}
    if kind == "bond":
        info["info_data"] = {"mode": profile["bond"]["mode"]}
    if kind == "vlan":
        info["info_data"] = {"id": int(profile["vlan"]["id"])}
    addresses = []
    if address := profile.get("ipv4", {}).get("address1"):
        local, prefix = address.split(",")[0].split("/")
        addresses = [{"local": local, "prefixlen": int(prefix)}]
    return {
        "ifname": profile["connection"]["interface-name"],
        "link_type": "ether",
        "address": "02:00:00:00:00:00",
        "mtu": int(profile["ethernet"]["mtu"]),
        "linkinfo": info,
        "addr_info": addresses,
    }


def _master(profile: dict[str, dict[str, str]]) -> str:
    return profile["connection"].get("master", "")


def _is_for(profile: dict[str, dict[str, str]], mac: str) -> bool:
    return profile.get("ethernet", {}).get("mac-address") == mac
