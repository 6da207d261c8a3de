"""libvirt as it runs on this node: the storage pool and the guests, through virsh."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Optional

from firstboot.commands import Run
from firstboot.render.hosts import on_bond
from firstboot.render.libvirt import POOL, POOL_NAME

HERE = "qemu:///system"
VIRSH = ("virsh", "--quiet", "--connect", HERE)
ANSWER_S = 20.0


@dataclass(frozen=True)
class Pool:
    """A storage pool: where its folder is, whether it is started, and with the system."""

    path: str
    active: bool
    autostart: bool


def pool(run: Run) -> Optional[Pool]:
    """Our storage pool; None when libvirt knows none of that name, or does not answer."""
    info = run([*VIRSH, "pool-info", POOL_NAME], ok=(0, 1, 127))
    shown = run([*VIRSH, "pool-dumpxml", POOL_NAME], ok=(0, 1, 127))
    failed = info.returncode or shown.returncode
    return None if failed else parse(info.stdout, shown.stdout)


def parse(info: str, shown: str) -> Pool:
    """`virsh pool-info` and `pool-dumpxml`. Raises ValueError on anything else."""
    keys = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    try:
        path = ET.fromstring(shown).findtext("target/path")  # noqa: S314 - root's own libvirt's
    except ET.ParseError as error:
        raise ValueError(f"not a storage pool's XML: {error}: {shown[:100]!r}") from None
    state, autostart = (keys.get(key, "").strip() for key in ("State", "Autostart"))
    return Pool(path or "", state == "running", autostart == "yes")


def make_pool(run: Run, found: Optional[Pool]) -> None:
    """Define, autostart and start our pool, as far as that was not done. It holds what it held."""
    if found is None:
        run([*VIRSH, "pool-define", str(POOL)])
    if found is None or not found.autostart:
        run([*VIRSH, "pool-autostart", POOL_NAME])
    if found is None or not found.active:
        run([*VIRSH, "pool-start", POOL_NAME])


def guests(run: Run) -> list[str]:
    """The names of the guests that run on this node."""
    return run([*VIRSH, "list", "--name"]).stdout.split()


def there(node: str) -> str:
    """libvirt on the other node, over the bond and TLS, as this node's own leaf."""
    return f"qemu+tls://{on_bond(node)}/system"


def listed(run: Run, uri: str = HERE) -> str:
    """`virsh list --all` of a node. Raises CommandError when its libvirt does not answer."""
    argv = ["virsh", "--quiet", "--connect", uri, "list", "--all"]
    return run(argv, timeout_s=ANSWER_S).stdout


def block_list(run: Run, name: str, uri: str = HERE) -> str:
    """`virsh domblklist` of a domain; "" when it is gone by now."""
    argv = ["virsh", "--quiet", "--connect", uri, "domblklist", name, "--details"]
    return run(argv, ok=(0, 1), timeout_s=ANSWER_S).stdout
