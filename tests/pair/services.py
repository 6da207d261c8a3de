"""systemd's units, firewalld and libvirt of a played machine, as far as the agent asks them.

What is enabled lies on the machine's disk and can be lost with its power; what runs does not. The
shapes are those of tests/firstboot/recorded and test_guests.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from firstboot.render.libvirt import POOL, POOL_NAME
from firstboot.steps.guests import SOCKETS, SUSPENDER
from firstboot.verbs.converging import AGENT_UNIT

WANTS = Path("etc/systemd/system/multi-user.target.wants")
DEFINED = Path("etc/libvirt/storage") / f"{POOL_NAME}.xml"
AUTOSTART = Path("etc/libvirt/storage/autostart") / f"{POOL_NAME}.xml"


class Services:
    """Of one machine, below its root; forgotten and started anew at each boot."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._active: set[str] = set()
        self._zones: set[str] = set()
        self._pool_runs = False

    def install(self) -> None:
        """As EL9 comes: libvirt's daemons behind sockets, and the one that suspends guests."""
        self.enable([SUSPENDER])
        (self._root / "etc/group").write_text("root:x:0:\nqemu:x:0:\n")

    def boot(self) -> None:
        """What is enabled starts."""
        self._active = {AGENT_UNIT, *(link.name for link in (self._root / WANTS).glob("*"))}
        self._pool_runs = (self._root / AUTOSTART).is_symlink()
        self._read_zones()

    def enable(self, units: Sequence[str]) -> None:
        """systemctl enable: links in a folder that nobody syncs."""
        (self._root / WANTS).mkdir(parents=True, exist_ok=True)
        for unit in units:
            if not (self._root / WANTS / unit).is_symlink():
                (self._root / WANTS / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")

    def systemctl(self, verb: str, units: Sequence[str]) -> str:
        """Do it; what `show` prints."""
        if verb == "show":
            return "\n".join(self._shown(unit) for unit in units)
        if verb == "enable":
            self.enable(units)
        elif verb == "disable":
            for unit in units:
                (self._root / WANTS / unit).unlink(missing_ok=True)
        elif verb in ("start", "restart"):
            self._active.update(units)
        elif verb == "stop":
            self._active.difference_update(units)
        else:
            assert verb in ("daemon-reload", "try-restart", "try-reload-or-restart"), verb
        return ""

    def _shown(self, unit: str) -> str:
        enabled = (self._root / WANTS / unit).is_symlink()
        return (
            f"Id={unit}\nActiveState={'active' if unit in self._active else 'inactive'}\n"
            f"UnitFileState={'enabled' if enabled else 'disabled'}\n"
            "ConditionResult=yes\nConditionTimestampMonotonic=1\n"
        )

    def firewall(self, words: list[str]) -> tuple[int, str]:
        """firewall-cmd, and busctl that asks firewalld to read its files."""
        if words[-1] == "reload":
            self._read_zones()
            return 0, ""
        assert words[-1] in ("--get-zones", "--get-policies"), words
        return 0, " ".join(sorted(self._zones)) + "\n"

    def _read_zones(self) -> None:
        folders = (self._root / "etc/firewalld" / kind for kind in ("zones", "policies"))
        self._zones = {path.stem for folder in folders for path in folder.glob("*.xml")}

    def virsh(self, words: list[str]) -> tuple[int, str]:
        """virsh, while its sockets listen."""
        if not set(SOCKETS) <= self._active:
            return 1, "Failed to connect socket"
        verbs: dict[str, Callable[[], tuple[int, str]]] = {
            "pool-info": self._pool_info,
            "pool-dumpxml": self._pool_xml,
            "pool-define": self._define,
            "pool-autostart": self._autostart,
            "pool-start": self._start,
            "list": lambda: (0, ""),
        }
        return next(do() for verb, do in verbs.items() if verb in words)

    def _pool_info(self) -> tuple[int, str]:
        if not (self._root / DEFINED).exists():
            return 1, "error: failed to get pool"
        state = "running" if self._pool_runs else "inactive"
        auto = "yes" if (self._root / AUTOSTART).is_symlink() else "no"
        return 0, f"Name: {POOL_NAME}\nState: {state}\nAutostart: {auto}\n"

    def _pool_xml(self) -> tuple[int, str]:
        found = self._root / DEFINED
        return (0, found.read_text()) if found.exists() else (1, "error: failed to get pool")

    def _define(self) -> tuple[int, str]:
        (self._root / DEFINED).parent.mkdir(parents=True, exist_ok=True)
        (self._root / DEFINED).write_text((self._root / str(POOL).lstrip("/")).read_text())
        return 0, ""

    def _autostart(self) -> tuple[int, str]:
        (self._root / AUTOSTART).parent.mkdir(parents=True, exist_ok=True)
        (self._root / AUTOSTART).symlink_to("../" + DEFINED.name)
        return 0, ""

    def _start(self) -> tuple[int, str]:
        self._pool_runs = True
        return 0, ""
