"""The door for programs of a played machine: what each would answer and bring about.

Deeds are audited as they happen; a program may be cut off before its deed, within it, or after.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firstboot.commands import CommandError, Result
from firstboot.data import lock_table
from firstboot.render.systemd import GATE
from firstboot.verbs.converging import AGENT_UNIT
from tests.pair.disk import Cut
from tests.pair.fiber import Fiber
from tests.pair.replicated import Metadata
from tests.pair.test_secrets_machine import PlayedOpenssl

if TYPE_CHECKING:
    from tests.pair.world import World

Answer = tuple[int, str]
READING = re.compile(
    r"ip -j|nmcli -t|wipefs -n|drbdmeta .* get-gi|drbdadm get-gi|systemctl (is-active|show)|crm_mon"
    r"|cibadmin --query|lsattr|modinfo|ping|corosync-c|openssl (x509|pkey|verify)|ipmitool .* guid"
    r"|drbdsetup show|dmesg|firewall-cmd --get|virsh .* (pool-info|pool-dumpxml|list)"
    r"|crm_attribute .* --query"
)
GATEWAY = "10.0.3.254"
_CMAP = "totem.crypto_cipher (str) = aes256\ntotem.crypto_hash (str) = sha256\n"
_CFGTOOL = (
    "Local node ID 1, transport knet\nLINK ID 0 udp\n\taddr\t= 127.0.7.1\n\tstatus:\n"
    "\t\tnodeid:          1:\tlocalhost\n\t\tnodeid:          2:\tconnected\n"
    "LINK ID 1 udp\n\taddr\t= 10.0.0.1\n\tstatus:\n"
    "\t\tnodeid:          1:\tlocalhost\n\t\tnodeid:          2:\tconnected\n"
)


class Programs:
    """One machine's. `openssl` is the pair's, so that keys differ."""

    def __init__(self, world: World, name: str, openssl: PlayedOpenssl) -> None:
        self._world, self._name, self._openssl = world, name, openssl
        self._machine = world.machines[name]
        self._drbd, self._cluster = world.drbd, world.cluster
        self._answers: dict[str, Callable[[list[str]], Answer]] = {
            "ip": self._ip,
            "nmcli": self._nmcli,
            "wipefs": self._wipefs,
            "drbdmeta": self._drbdmeta,
            "drbdadm": self._drbdadm,
            "drbdsetup": lambda _: (0, '    cram-hmac-alg   "sha256";\n'),
            "mkfs.gfs2": self._mkfs,
            "systemctl": self._systemctl,
            "crm_mon": lambda _: self._asked(self._cluster.print),
            "cibadmin": self._cibadmin,
            "crm_resource": self._crm_resource,
            "lsattr": lambda _: (
                0,
                f"----{'i' if self._machine.immutable else '-'}--- /srv/vmdata\n",
            ),
            "chattr": self._chattr,
            "corosync-cmapctl": lambda _: (0, _CMAP),
            "corosync-cfgtool": lambda _: (0, _CFGTOOL),
            "ping": self._ping,
            "crm_attribute": self._crm_attribute,
            "firewall-cmd": self._machine.services.firewall,
            "busctl": self._machine.services.firewall,
            "virsh": self._machine.services.virsh,
            "udevadm": lambda _: (0, ""),
            "dmesg": lambda _: (0, ""),
            "ipmitool": lambda _: (1, ""),
            "/usr/lib/systemd/systemd-sysctl": self._sysctl,
        }

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = 0,
    ) -> Result:
        del timeout_s
        words = list(argv)
        line = " ".join(words)
        reads = READING.match(line) is not None
        self._world.ran(self._name, line, reads=reads)
        if not reads:
            self._world.tick(line)
        with self._world.backstage():
            result = self._play(words, stdin)
        if not reads:
            self._world.tick(f"after {line}")
        if result.returncode not in ok:
            raise CommandError(result)
        return result

    def _play(self, words: list[str], stdin: str | None) -> Result:
        if words[0] == "openssl":
            return self._openssl(words, stdin=stdin)
        if words[0] == "/usr/sbin/fence_ipmilan":
            return Result(tuple(words), self._fence(stdin or ""), "", "")
        code, printed = self._answers[words[0]](words)
        return Result(tuple(words), code, printed, printed)

    def _ip(self, words: list[str]) -> Answer:
        if "route" in words:
            return 0, json.dumps([{"dst": "default", "gateway": g} for g in self._gateways()])
        links = self._machine.links()
        if words[-2] == "dev":
            links = [link for link in links if link["ifname"] == words[-1]]
        return 0, json.dumps(links)

    def _gateways(self) -> list[str]:
        """The way out that br0 has as it is now."""
        running = self._machine.up.get("ks-br0")
        return [running["ipv4"]["address1"].split(",")[1]] if running else []

    def _ping(self, words: list[str]) -> Answer:
        if words[-2:-1] == ["br0"]:
            there = words[-1] == GATEWAY and self._gateways() == [GATEWAY]
        else:
            there = self._world.reachable(self._name)
        return 0 if there else 1, ""

    def _crm_attribute(self, words: list[str]) -> Answer:
        """A transient attribute of a node: it goes when the node's cluster stops."""
        members, node = self._cluster.members, words[words.index("--node") + 1]
        if not members[self._name].running:
            return 102, "not connected"
        if "--query" in words:
            return 0, members[node].applying or words[-1]
        members[node].applying = "" if "--delete" in words else words[-1]
        return 0, ""

    def _nmcli(self, words: list[str]) -> Answer:
        machine = self._machine
        if words[-2:] == ["connection", "show"]:
            kinds = {"ethernet": "802-3-ethernet"}
            sections = [profile["connection"] for profile in machine.loaded.values()]
            rows = [f"{c['uuid']}:{kinds.get(c['type'], c['type'])}:{c['id']}" for c in sections]
            return 0, "\n".join(rows) + "\n"
        by_uuid = {p["connection"]["uuid"]: name for name, p in machine.loaded.items()}
        if words[-2] == "uuid" and words[-1] not in by_uuid:
            return 10, ""
        if "show" in words:
            profile = machine.loaded[by_uuid[words[-1]]]
            interface = profile["connection"].get("interface-name", "")
            mac = profile.get("ethernet", {}).get("mac-address", "")
            return 0, f"connection.interface-name:{interface}\n802-3-ethernet.mac-address:{mac}\n"
        if "reload" in words or "load" in words:
            if "conf" not in words:
                machine.reload()
            return 0, ""
        if "delete" in words:
            machine.delete(by_uuid.get(words[-1], words[-1]))
            return 0, ""
        assert words[-4:-1] == ["connection", "up", "id"], words
        return (0, "") if machine.activate(words[-1]) else (10, "unknown connection")

    def _wipefs(self, _: list[str]) -> Answer:
        found, rows = self._machine.partition, []
        if found.foreign:
            rows.append({"type": found.foreign, "label": None})
        if found.metadata is not None and not self._drbd_holds():
            rows.append({"type": "drbd", "label": None})
        if found.data:
            rows.append({"type": "gfs2", "label": found.data.split()[0]})
        return 0, json.dumps({"signatures": rows}) if rows else ""

    def _drbd_holds(self) -> bool:
        """Then what is looked at is /dev/drbd0, which ends before the metadata."""
        return bool(self._drbd.resources[self._name].connection)

    def _drbdmeta(self, words: list[str]) -> Answer:
        assert words[-1] == "get-gi"
        found = self._machine.partition.metadata
        return (0, found.print()) if found else (1, "No valid meta data found")

    def _drbdadm(self, words: list[str]) -> Answer:
        drbd, name, verb = self._drbd, self._name, words[1]
        if verb == "create-md":
            return self._create_metadata()
        if verb == "adjust":
            resource = (self._machine.root / "etc/drbd.d/vmdata.res").read_text()
            secret = re.search(r'shared-secret "(\w+)"', resource)
            assert secret, resource
            return _done(drbd.adjust(name, secret[1]))
        if not drbd.resources[name].connection:
            return 10, "resource is not up"
        if verb == "get-gi":
            return 0, drbd.metadata(name).print()
        if verb in ("new-current-uuid", "primary") and words[2].startswith("--"):
            self._world.audit.seed(name, f"drbdadm {verb}")
            failed = drbd.begin(name, words[2], lambda: self._world.tick(f"within {verb}"))
            if verb == "primary" and not failed:
                failed = drbd.promote(name)
            return _done(failed)
        return _done({"primary": drbd.promote, "secondary": drbd.demote}[verb](name))

    def _create_metadata(self) -> Answer:
        found = self._machine.partition
        if found.metadata is not None or found.foreign or found.data:
            return 1, "Found some data ... Operation cancelled."
        self._world.audit.write(self._name, "create-md")
        found.half_metadata = True
        found.lay()
        self._world.tick("within create-md")
        found.half_metadata, found.metadata = False, Metadata()
        found.lay()
        return 0, ""

    def _mkfs(self, words: list[str]) -> Answer:
        world, name = self._world, self._name
        world.audit.seed(name, "mkfs.gfs2")
        assert self._drbd.resources[name].role == "Primary"
        self._drbd.resources[name].held_open = 1
        table = words[words.index("-t") + 1]
        assert table == lock_table(self._machine.identity.pair)
        self._drbd.written(name, half=True, data="")
        world.tick("within mkfs.gfs2")
        world.made += 1
        self._drbd.written(name, half=False, data=f"{table} {world.made}")
        return 0, ""

    def _systemctl(self, words: list[str]) -> Answer:
        verb, *units = [word for word in words[1:] if not word.startswith("-")]
        if verb == "is-active":
            running = self._cluster.members[self._name].running
            state = "active" if running else "inactive"
            return 0 if running else 3, "".join(f"{state}\n" for _ in units)
        if verb == "start" and "pacemaker.service" in units:
            self._world.audit.start(self._name)
            self._cluster.start(self._name)
        elif verb == "restart" and AGENT_UNIT in units:
            self._world.after(0.0, lambda: self._world.cut(self._name, "kill"))
        elif verb == "start" and GATE in units:
            self._world.start_gate(self._name)
        else:
            return 0, self._machine.services.systemctl(verb, units)
        return 0, ""

    def _asked(self, what: Callable[[str], str]) -> Answer:
        running = self._cluster.members[self._name].running
        return (0, what(self._name)) if running else (102, "not connected")

    def _told(self, what: Callable[[str], None]) -> Answer:
        if not self._cluster.members[self._name].running:
            return 102, "not connected"
        what(self._name)
        return 0, ""

    def _cibadmin(self, words: list[str]) -> Answer:
        if words[1] == "--query":
            return self._asked(self._cluster.query)
        text = (self._machine.root / words[-1].lstrip("/")).read_text()
        self._world.audit.cib(self._name)
        return self._told(lambda name: self._cluster.load(name, text))

    def _crm_resource(self, words: list[str]) -> Answer:
        assert "target-role" in words, words
        stopped = self._cluster.cibs[self._name].stopped - {words[2]}
        return self._told(lambda name: self._cluster.change(name, stopped=stopped))

    def _chattr(self, _: list[str]) -> Answer:
        self._machine.immutable = True
        return 0, ""

    def _sysctl(self, _: list[str]) -> Answer:
        self._machine.apply_settings()
        return 0, ""

    def _fence(self, stdin: str) -> int:
        options = dict(line.split("=", 1) for line in stdin.splitlines())
        victim = self._world.wired[options["ip"]]
        assert options["password"] == self._world.machines[victim].password
        if options["action"] == "status":
            return 0 if self._world.machines[victim].power else 2
        if options["action"] == "on":
            self._world.power_on(victim)
            return 0
        self._world.audit.fire(self._name, victim)
        self._world.power_off(victim)
        assert Fiber.running is not None
        if Fiber.running.dead:
            raise Cut
        return 0


def _done(failed: str) -> Answer:
    return (10, failed) if failed else (0, "")
