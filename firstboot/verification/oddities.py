"""What of the plan is not in effect though the pair works: warnings, for the report and for Nagios.

Pure. Each text ends in "; next: " and what a human can do, as the steps' own do.
"""

from collections.abc import Mapping
from typing import Any, Optional

from firstboot.node import RESOURCE, Identity
from firstboot.render.cib import MOUNT, MOUNT_OPTIONS

NEXT = "; next: "
LINKS = {"0": "the bond", "1": "the uplink"}  # as render/corosync.py numbers them
NO_CRYPTO = ("", "none")  # corosync.conf(5): "none" is in the clear


def warnings(identity: Identity, seen: Mapping[str, Any]) -> "list[str]":
    """`seen` as verification.state has it. Where nothing is mounted, only why that may be."""
    place, options = identity.pair.gfs2.mount, seen["mount_options"]
    found = [*_mount(place, options), *_cables(identity, seen["ports"])]
    if options is None:  # the cluster is not up, and has neither links nor crypto
        return found
    return [
        *found,
        *_cluster(seen["links"], seen["crypto"]),
        *_drbd(seen["drbd_hmac"]),
        *_denials(seen["denials"]),
    ]


def _mount(place: str, options: Optional[str]) -> "list[str]":
    if options is None:
        return [f"{place} is not mounted{NEXT}ksnode why; crm_mon -1rf"]
    lost = [option for option in ("rw", *MOUNT_OPTIONS) if option not in options.split(",")]
    where = f"{NEXT}crm_resource --resource {MOUNT} --query-xml"
    return [f"{place} is mounted without {', '.join(lost)}{where}"] if lost else []


def _cables(identity: Identity, ports: Mapping[str, bool]) -> "list[str]":
    found = [
        f"no link on the crossover port {name}{NEXT}the cable; ip -s link show {name}"
        for name, up in ports.items()
        if not up
    ]
    planned = len(identity.me.crossover_ports)
    if len(ports) < planned:
        text = f"{len(ports)} of {planned} crossover cables are in use"
        found.append(f"{text}{NEXT}ksnode status, of the step cabling")
    return found


def _cluster(links: Mapping[str, bool], crypto: Mapping[str, str]) -> "list[str]":
    found = [
        f"the cluster's link on {place} is down{NEXT}corosync-cfgtool -s"
        for number, place in LINKS.items()
        if not links.get(number)
    ]
    found += [
        f"the cluster runs without a {name}{NEXT}corosync-cmapctl totem.crypto_{name}"
        for name, value in sorted(crypto.items())
        if value in NO_CRYPTO
    ]
    return found


def _drbd(algorithm: str) -> "list[str]":
    if algorithm:
        return []
    return [f"DRBD asks its peer for no proof of the secret{NEXT}drbdadm adjust {RESOURCE}"]


def _denials(lines: "Optional[list[str]]") -> "list[str]":
    if not lines:
        return []
    last = f"{NEXT}ausearch --message AVC --start boot; the last: {lines[-1]}"
    return [f"SELinux denied {len(lines)} times what our parts wanted{last}"]
