"""Is this the machine the plan means, fit for the work, and is its disk as it was made?"""

import re
import time
from collections.abc import Sequence
from typing import Callable

from firstboot import facts, latches, raid
from firstboot.engine import Refused, Step
from firstboot.journal import STATE
from firstboot.node import SECTOR, partition_uuid
from firstboot.steps import Context

REINSTALL = "install this server from the medium made for it, then boot it again"
LEAST_MIB = 512  # for logs, caches and the agent's own records
YEARS = range(2025, 2100)  # what a clock that was ever set may show
# systemd moves a clock that is behind to its own build before anybody sees it (src/core/main.c of
# 252, EL9's, and of 254).
_MOVED = re.compile(r"System time (before build time|advanced to)")

# Which EL9 package brings a module for the kernel that runs (its kernel's def_variants.yaml.rhel).
MODULES = {
    "drbd": "kmod-drbd9x",
    "gfs2": 'kernel-modules-core-"$(uname -r)"',
    "dlm": 'kernel-modules-core-"$(uname -r)"',
}


class Preflight(Step):
    """Refuses on another machine, or one that is not fit; there is nothing it could mend."""

    name = "preflight"

    def __init__(self, context: Context, now: Callable[[], float] = time.time) -> None:
        self._context = context
        self._now = now
        self._warnings: list[str] = []

    def remark(self) -> str:
        """What is odd and does not keep the node from going on."""
        return "; ".join(self._warnings)

    def check(self) -> Sequence[str]:
        """Nothing is ever missing: it is right or refused."""
        self._warnings = []
        self._check_identity()
        self._check_data_partition()
        self._check_free_space()
        self._check_modules()
        self._check_processor()
        self._check_selinux()
        self._check_clock()
        self._check_raid()
        return ()

    def apply(self) -> None:
        """Unreachable by check(); kept so that the step says so instead of doing nothing."""
        raise AssertionError("preflight mends nothing")

    def _check_identity(self) -> None:
        identity, root = self._context.identity, self._context.root
        if (found := facts.host_name(root)) != identity.node:
            raise Refused(
                f"this machine is called {found!r}, the plan calls it {identity.node!r}",
                f"hostnamectl set-hostname {identity.node}, then: systemctl restart ksnode",
            )
        wanted = identity.me.serial
        if wanted is None or not identity.pair.has("dmi"):
            return
        if (found := facts.serial(root)) != wanted:
            raise Refused(
                f"this machine's serial number is {found!r}, {identity.node}'s is {wanted!r}",
                REINSTALL,
            )

    def _check_data_partition(self) -> None:
        identity = self._context.identity
        storage = identity.pair.storage
        uuid = partition_uuid(identity.pair.id, identity.node, "data")
        start = facts.partition_start(self._context.root, uuid)
        if start is None:
            raise Refused(f"no partition carries this node's data PARTUUID {uuid}", REINSTALL)
        os_end = storage.os_gib * 1024**3 // SECTOR
        if start < os_end or start % storage.grain_sectors:
            raise Refused(
                f"the data partition starts at sector {start}; planned is a multiple of"
                f" {storage.grain_sectors} at or behind {os_end}",
                REINSTALL,
            )

    def _check_free_space(self) -> None:
        folder = self._context.root / STATE
        while not folder.exists():
            folder = folder.parent
        if (free := facts.free_mib(folder)) < LEAST_MIB:
            raise Refused(
                f"{free} MiB are free below /{STATE}, {LEAST_MIB} are needed",
                f"find what takes the room: du -xh --max-depth=2 /{STATE.parts[0]} | sort -h",
            )

    def _check_modules(self) -> None:
        for module, package in MODULES.items():
            version = facts.module_version(self._context.run, self._context.root, module)
            if version is None:
                raise Refused(
                    f"this kernel has no module {module}",
                    f"dnf install {package}, then boot the newest kernel",
                )
            if module == "drbd" and self._context.identity.pair.has("drbd9"):
                self._check_drbd(version)

    def _check_drbd(self, version: str) -> None:
        if not version.startswith("9."):
            raise Refused(
                f"this kernel's module drbd is version {version}; 9 is needed",
                f"dnf swap kmod-drbd84 {MODULES['drbd']}, then reboot",
            )

    def _check_processor(self) -> None:
        if self._context.identity.pair.has("kvm") and not facts.virtualizes(self._context.root):
            raise Refused(
                "the processor offers no virtualization: neither vmx nor svm is among its flags,"
                " and there is no /dev/kvm",
                "switch it on in the firmware's settings (Intel VT-x, AMD-V), then boot again",
            )

    def _check_selinux(self) -> None:
        if not self._context.identity.pair.has("selinux"):
            return
        if (state := facts.selinux(self._context.root)) != "enforcing":
            raise Refused(
                f"SELinux is {state}, not enforcing",
                "set SELINUX=enforcing in /etc/selinux/config, then: fixfiles onboot && reboot",
            )

    def _check_clock(self) -> None:
        shown = time.gmtime(self._now())
        if shown.tm_year not in YEARS:
            said = time.strftime("%Y-%m-%d %H:%M UTC", shown)
            self._warnings.append(f"the clock says {said}: set it, and renew its battery")
            return
        log = self._context.run(["dmesg"], ok=(0, 1))  # 1: in a container it may not be read
        if _MOVED.search(log.stdout):
            self._warnings.append(
                "the clock was years behind when this node booted, and systemd moved it ahead:"
                " set it, and renew its battery"
            )

    def _check_raid(self) -> None:
        """Only while the node is set up: later a lost disk is the monitoring's affair."""
        root = self._context.root
        tool = next((t for t in raid.TOOLS if (root / "usr/sbin" / t).exists()), None)
        if tool is None or latches.is_set(root, latches.COMPLETE):
            return
        # 1: no controller of its kind, in the tool's own words.
        shown = self._context.run([tool, *raid.SHOW], ok=(0, 1))
        if not (faults := raid.faults(raid.parse(shown.stdout))):
            return
        evidence = f"the RAID array is not whole: {'; '.join(map(str, faults))}"
        if self._context.identity.pair.storage.raid_degraded == "warn":
            self._warnings.append(evidence)
            return
        raise Refused(
            evidence,
            f"replace the disk and wait until `{tool} {' '.join(raid.SHOW)}` says OK everywhere,"
            ' or set storage.raid_degraded = "warn"',
        )
