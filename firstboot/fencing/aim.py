"""What has to be true before anything is fired at: it is the peer's, its own, and on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from firstboot.engine import Refused
from firstboot.fencing.exchange import marked
from firstboot.fencing.identity import objection
from firstboot.fencing.power import Power
from firstboot.fencing.rehearsal import ON
from firstboot.node import Identity, Node
from firstboot.render import fencedevice

WRONG_DEVICE = "compare [[node.fencing]] of both nodes with the labels on their BMCs"
PRODUCT_UUID = Path("sys/class/dmi/id/product_uuid")


def own_uuid(root: Path) -> str:
    """This machine's DMI UUID, "" where there is none."""
    try:
        return (root / PRODUCT_UUID).read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def lowest(node: Node) -> int:
    """The level whose devices are rehearsed; those of higher levels only have to say "on"."""
    return min(device.level for device in node.fencing)


def check_profile(identity: Identity) -> None:
    """Raises Refused when a node has no device, or both have the same."""
    for node in (identity.me, identity.peer):
        if not node.fencing:
            raise Refused(f"no fence device for {node.name}", "add [[node.fencing]] to the profile")
    targets = {identity.node: set[tuple[str, str]](), identity.peer.name: set[tuple[str, str]]()}
    for device in fencedevice.devices(identity.pair):
        if "lanplus" in device.options or "ssl_insecure" in device.options:
            place = device.options.get("ip", ""), device.options.get("ipport", "")
            targets[device.target].add(place)
    if both := targets[identity.node] & targets[identity.peer.name]:
        raise Refused(f"both nodes' BMC is {sorted(both)[0][0]}", WRONG_DEVICE)


def check_logins(identity: Identity, powers: Sequence[Power]) -> None:
    """Raises Refused when a BMC does not let the fence account in; one that is silent may."""
    for power in powers:
        for name in power.shut_out():
            raise Refused(
                f"{name} does not let the fence account in: its Redfish does not know IPMI's"
                " accounts, or the password is another one",
                f"give password_file in the profile, and the file on {identity.peer.name}",
            )


def check_target(
    identity: Identity,
    root: Path,
    told: dict[str, Any],
    powers: Sequence[Power],
    seen: Sequence[str],
) -> None:
    """Raises Refused unless `powers[0]`, whose BMCs named the UUIDs `seen`, may be fired at.

    `told` is what the peer says: "uuid" of its DMI, "aims" with the UUIDs it sees at our BMCs.
    """
    peer, power = identity.peer, powers[0]
    level = [device for device in peer.fencing if device.level == lowest(peer)]
    uuid, aims = told.get("uuid"), told.get("aims")
    guids: Sequence[Optional[str]] = seen or (None,)
    for guid in guids:
        why = objection(
            guid,
            own_uuid(root),
            uuid if isinstance(uuid, str) else "",
            marked=all(marked(identity, device) for device in level),
        )
        if guid is None and all(device.agent == "custom" for device in level):
            why = ""  # nothing can be asked of it; the peer's death and return have to do
        if not why and guid is not None and isinstance(aims, list) and guid in aims:
            why = f"the device for {identity.node} answers with {guid} as well"
        if why:
            raise Refused(f"{power.name} is not shown to be {peer.name}'s: {why}", WRONG_DEVICE)
    for each in powers:
        if each.state() != ON:
            raise Refused(
                f"{each.name} says off, but {peer.name} answers: it is not its power", WRONG_DEVICE
            )
