"""The cluster's whole configuration as pacemaker's CIB; every object's id begins with `ks-`.

Loaded once, into a cluster that holds no resources; afterwards only compared with what runs.
DRBD, dlm and the file system are born stopped (target-role) and released once fencing works.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import RESOURCE, Identity, Pair
from firstboot.render import alerts, fencedevice
from firstboot.render.fencedevice import Device

PATH = PurePosixPath("/etc/ksbuild/cib.xml")
# The ids of attribute sets are those pcs and crm_resource would look for.
# Older than every EL9's and Debian 12's pacemaker: a CIB of a newer feature set is refused
# ("Protocol not supported"), an older one is taken. 3.7 is the first with the roles' present names.
FEATURE_SET, SCHEMA = "3.10.0", "pacemaker-3.7"
DRBD, DLM, MOUNT = "ks-drbd", "ks-dlm", "ks-vmdata"
DRBD_CLONE, DLM_CLONE, MOUNT_CLONE = f"{DRBD}-clone", f"{DLM}-clone", f"{MOUNT}-clone"
CLONES = {DRBD_CLONE: DRBD, DLM_CLONE: DLM, MOUNT_CLONE: MOUNT}  # and what each is a clone of
FENCED = f"drbd-fence-by-handler-{RESOURCE}"  # how the id of what DRBD's handler adds begins
DEVICE = "/dev/drbd0"
MOUNT_OPTIONS = ("noatime", "nodiratime")
RETRY_S = 600
# What a node is worth as a place (Pacemaker Explained, "Node Health"). Every red attribute counts;
# the sum has to stay positive, and one to weigh more than stickiness and what people prefer.
HEALTH_BASE, HEALTH_RED = 100_000, -10_000

Operation = Mapping[str, str]


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The CIB, the same text on both nodes, and the scripts its fence devices run on this one."""
    return (
        ConfigFile(PATH, text(identity.pair), mode=0o600),
        *fencedevice.scripts(identity),
    )


def text(pair: Pair) -> str:
    """The CIB as XML."""
    cib = ET.Element(
        "cib",
        {
            "crm_feature_set": FEATURE_SET,
            "validate-with": SCHEMA,
            "admin_epoch": "0",
            "epoch": "1",
            "num_updates": "0",
        },
    )
    configuration = ET.SubElement(cib, "configuration")
    devices = fencedevice.devices(pair)
    configuration.append(_properties(pair))
    configuration.append(_nodes(pair))
    configuration.append(_resources(pair, devices))
    configuration.append(_constraints(devices))
    if len(devices) > len(pair.nodes):
        configuration.append(_topology(pair, devices))
    configuration.append(_defaults())
    configuration.append(alerts.element(_seconds(pair, 30)))
    ET.SubElement(cib, "status")
    ET.indent(cib)
    return ET.tostring(cib, encoding="unicode") + "\n"


def newest(identity: Identity) -> str:
    """The constraint by which only this node may be promoted until the other has caught up.

    It is the one of drbd-utils' handler (crm-fence-peer.sh, crm-fence-peer.9.sh 9.22), which takes
    it for proof where it stands already, and which crm-unfence-peer.sh takes away by its id.
    """
    pair = identity.pair
    number = f"-{pair.nodes.index(identity.me)}" if pair.has("drbd9") else ""
    return (
        f'<rsc_location rsc="{DRBD_CLONE}" id="{FENCED}-{DRBD_CLONE}">'
        f'<rule role="Master" score="-INFINITY" id="{FENCED}-rule-{DRBD_CLONE}">'
        f'<expression attribute="#uname" operation="ne" value="{identity.node}"'
        f' id="{FENCED}-expr{number}-{DRBD_CLONE}"/></rule></rsc_location>'
    )


def _properties(pair: Pair) -> ET.Element:
    properties = {
        "stonith-enabled": "true",
        # A node without quorum stops nothing: GFS2 could not be unmounted without the lock manager.
        "no-quorum-policy": "freeze",
        "stonith-timeout": _seconds(pair, 60),
        # In a duel the node whose guests count for more (their priority) is cut off last. It has to
        # be twice what a fence device waits by itself (pacemaker's manual).
        "priority-fencing-delay": f"{2 * pair.cluster.fence_delay_s}s",
        "migration-limit": str(pair.guests.migrations),  # at a time, from or to one node
        # A node in bad health is the worse place, and no forbidden one: while both are in bad
        # health guests stay where they are, where "migrate-on-red" would stop them all.
        "node-health-strategy": "progressive",
        "node-health-base": str(HEALTH_BASE),
        "node-health-red": str(HEALTH_RED),
    }
    crm_config = ET.Element("crm_config")
    crm_config.append(_pairs("cluster_property_set", "ks-options", properties))
    return crm_config


def _nodes(pair: Pair) -> ET.Element:
    nodes = ET.Element("nodes")
    for number, node in enumerate(pair.nodes, start=1):
        ET.SubElement(nodes, "node", {"id": str(number), "uname": node.name})
    return nodes


def _resources(pair: Pair, devices: Sequence[Device]) -> ET.Element:
    resources = ET.Element("resources")
    resources.extend([_fence(pair, device) for device in devices])
    promotable = {
        "promotable": "true",
        "promoted-max": "2",
        "promoted-node-max": "1",
        "notify": "true",
    }
    resources.append(_clone(DRBD_CLONE, _drbd(pair), promotable))
    resources.append(_clone(DLM_CLONE, _dlm(pair), {"ordered": "true"}))
    resources.append(_clone(MOUNT_CLONE, _mount(pair), {"ordered": "true"}))
    return resources


def _fence(pair: Pair, device: Device) -> ET.Element:
    attributes = {
        **device.options,
        "password_script": str(device.script),
        "pcmk_host_list": device.target,
    }
    for action in ("reboot", "off", "on", "status", "monitor"):
        attributes[f"pcmk_{action}_timeout"] = _seconds(pair, 60)
    if device.id == _delayed(pair):
        attributes["pcmk_delay_base"] = f"{pair.cluster.fence_delay_s}s"
    operations = [_operation(pair, "start", 60), _operation(pair, "monitor", 60, interval=60)]
    return _primitive(device.id, {"class": "stonith", "type": device.agent}, attributes, operations)


def _delayed(pair: Pair) -> str:
    """The one device that waits: the first that cuts off the first node, which so wins a duel."""
    first = pair.nodes[0].name
    return next(d.id for d in fencedevice.devices(pair) if d.target == first)


def _drbd(pair: Pair) -> ET.Element:
    attributes = {
        "drbd_resource": RESOURCE,
        # Upstream's second value is 10; 0 keeps a node from being promoted, and so from mounting,
        # while its own disk is not UpToDate.
        "adjust_master_score": "0 0 1000 10000",
    }
    operations = [  # timeouts: the agent's own advice, but for monitor
        _operation(pair, "start", 240),
        _operation(pair, "promote", 90),
        _operation(pair, "demote", 90),
        _operation(pair, "stop", 100),
        _operation(pair, "notify", 90),
        _operation(pair, "monitor", 40, interval=29, role="Promoted"),
        _operation(pair, "monitor", 40, interval=31, role="Unpromoted"),
    ]
    return _primitive(DRBD, _ocf("linbit", "drbd"), attributes, operations)


def _dlm(pair: Pair) -> ET.Element:
    # The agent's `args` stay as they are, "-s 0", no startup fencing by dlm_controld: pacemaker
    # itself fences whom it has not seen at its start, and nothing here turns that off.
    operations = [
        _operation(pair, "start", 90),
        _operation(pair, "stop", 100),
        _operation(pair, "monitor", 60, interval=30, **{"on-fail": "fence"}),
    ]
    return _primitive(DLM, _ocf("pacemaker", "controld"), {}, operations)


def _mount(pair: Pair) -> ET.Element:
    attributes = {
        "device": DEVICE,
        "directory": pair.gfs2.mount,
        "fstype": "gfs2",
        "options": ",".join(MOUNT_OPTIONS),
        "run_fsck": "no",  # the other node may have it mounted
    }
    operations = [
        _operation(pair, "start", 120),
        _operation(pair, "stop", 120),
        _operation(pair, "monitor", 60, interval=20, **{"on-fail": "fence"}),
    ]
    return _primitive(MOUNT, _ocf("heartbeat", "Filesystem"), attributes, operations)


def _constraints(devices: Sequence[Device]) -> ET.Element:
    constraints = ET.Element("constraints")
    for device in devices:
        where = {"rsc": device.id, "node": device.target, "score": "-INFINITY"}
        _object(constraints, "rsc_location", f"{device.id}-elsewhere", where)
    promoted = {"first": DRBD_CLONE, "first-action": "promote"}
    mount = {"then": MOUNT_CLONE, "then-action": "start"}
    locking = {"first": DLM_CLONE, "first-action": "start"}
    _object(constraints, "rsc_order", "ks-drbd-then-vmdata", {**promoted, **mount})
    _object(constraints, "rsc_order", "ks-dlm-then-vmdata", {**locking, **mount})
    beside = {"rsc": MOUNT_CLONE, "score": "INFINITY"}
    with_drbd = {
        **beside,
        "rsc-role": "Started",
        "with-rsc": DRBD_CLONE,
        "with-rsc-role": "Promoted",
    }
    _object(constraints, "rsc_colocation", "ks-vmdata-with-drbd", with_drbd)
    _object(constraints, "rsc_colocation", "ks-vmdata-with-dlm", {**beside, "with-rsc": DLM_CLONE})
    return constraints


def _topology(pair: Pair, devices: Sequence[Device]) -> ET.Element:
    topology = ET.Element("fencing-topology")
    for node in pair.nodes:
        mine = [device for device in devices if device.target == node.name]
        for level in sorted({device.level for device in mine}):
            together = ",".join(device.id for device in mine if device.level == level)
            where = {"target": node.name, "index": str(level), "devices": together}
            _object(topology, "fencing-level", f"ks-level-{node.name}-{level}", where)
    return topology


def _defaults() -> ET.Element:
    defaults = {
        "resource-stickiness": "100",
        # Nobody is there to clean up: what failed to start is tried again after a while.
        "failure-timeout": f"{RETRY_S}s",
    }
    rsc_defaults = ET.Element("rsc_defaults")
    rsc_defaults.append(_pairs("meta_attributes", "ks-defaults", defaults))
    return rsc_defaults


def _clone(id_: str, primitive: ET.Element, meta: Mapping[str, str]) -> ET.Element:
    clone = ET.Element("clone", {"id": id_})
    every = {"clone-max": "2", "clone-node-max": "1", "interleave": "true"}
    meta = {**every, **meta, "target-role": "Stopped"}
    clone.append(_pairs("meta_attributes", f"{id_}-meta_attributes", meta))
    clone.append(primitive)
    return clone


def _primitive(
    id_: str, kind: Mapping[str, str], attributes: Mapping[str, str], operations: list[Operation]
) -> ET.Element:
    primitive = ET.Element("primitive", {"id": id_, **kind})
    if attributes:
        primitive.append(_pairs("instance_attributes", f"{id_}-instance_attributes", attributes))
    holder = ET.SubElement(primitive, "operations")
    for operation in operations:
        name = f"{id_}-{operation['name']}-{operation['interval']}"
        _object(holder, "op", name, operation)
    return primitive


def _ocf(provider: str, agent: str) -> dict[str, str]:
    return {"class": "ocf", "provider": provider, "type": agent}


def _operation(pair: Pair, name: str, timeout_s: int, interval: int = 0, **more: str) -> Operation:
    times = {"interval": f"{interval}s", "timeout": _seconds(pair, timeout_s)}
    return {"name": name, **times, **more}


def _seconds(pair: Pair, seconds: int) -> str:
    return f"{seconds * pair.cluster.timeout_factor}s"


def _pairs(tag: str, id_: str, values: Mapping[str, str]) -> ET.Element:
    block = ET.Element(tag, {"id": id_})
    for name, value in values.items():
        ET.SubElement(block, "nvpair", {"id": f"{id_}-{name}", "name": name, "value": value})
    return block


def _object(parent: ET.Element, tag: str, id_: str, attributes: Mapping[str, str]) -> None:
    ET.SubElement(parent, tag, {"id": id_, **attributes})
