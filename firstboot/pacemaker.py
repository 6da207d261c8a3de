"""The cluster as it runs: crm_mon's and cibadmin's XML as values, and the commands that change it.

Parsing is pure. What changes the cluster stands here, once each.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Optional

from firstboot.commands import Run
from firstboot.render import cib
from firstboot.render.systemd import CLUSTER

STATUS = ("crm_mon", "--one-shot", "--output-as=xml")
MISSING = "is missing from the CIB"
ASKING = "ks-poweroff"  # a node attribute that goes with the node's cluster
NOT_CONNECTED = 102  # crm_mon and cibadmin: no cluster runs here (CRM_EX_DISCONNECT)
CHANGE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Cluster:
    """What pacemaker says of the pair; nodes and resources by name.

    `unclean` are nodes that are to be fenced before anything else happens; `active` are (resource,
    node, role), a clone's instances under its primitive's name; `watched` are (resource, node)
    whose last recurring monitor was good; `stopped` are the clones that are told to be so
    (target-role); `standby` are nodes that give up their resources, `asking` those on which a
    human wants both off; `bans` are (node, constraint) where DRBD may not be promoted; `failures`
    are for people.
    """

    quorate: bool
    online: frozenset[str]
    unclean: frozenset[str]
    active: frozenset[tuple[str, str, str]]
    watched: frozenset[tuple[str, str]]
    stopped: frozenset[str]
    failures: tuple[str, ...]
    standby: frozenset[str] = frozenset()
    asking: frozenset[str] = frozenset()
    unhealthy: frozenset[str] = frozenset()
    bans: tuple[tuple[str, str], ...] = ()

    def runs(self, resource: str, node: str, role: str = "Started") -> bool:
        """Whether the resource is there in that role."""
        return (resource, node, role) in self.active


def status(run: Run) -> Optional[Cluster]:
    """What runs; None when pacemaker does not answer on this node. Reads only."""
    text = report(run)
    return None if text is None else parse(text)


def report(run: Run) -> Optional[str]:
    """crm_mon's XML; None when pacemaker does not answer on this node. Reads only."""
    answer = run(STATUS, ok=(0, NOT_CONNECTED, 127))
    return answer.stdout if answer.returncode == 0 else None


def parse(text: str) -> Cluster:
    """`crm_mon --output-as=xml` of pacemaker 2.1. Raises ValueError on anything else."""
    root = _xml(text)
    manager = root.find("summary/current_dc")
    bans = _bans(root)
    return Cluster(
        quorate=manager is not None and manager.get("with_quorum") == "true",
        online=frozenset(
            node.get("name", "")
            for node in root.iterfind("nodes/node")
            if node.get("online") == "true" and node.get("pending") != "true"
        ),
        unclean=_nodes(root, "unclean", "true"),
        active=frozenset(
            (resource.get("id", ""), node.get("name", ""), resource.get("role", ""))
            for resource in root.iter("resource")
            if resource.get("active") == "true" and resource.get("failed") == "false"
            for node in resource.iterfind("node")
        ),
        watched=frozenset(_watched(root)),
        stopped=frozenset(
            clone.get("id", "")
            for clone in root.iter("clone")
            if clone.get("target_role") == "Stopped"
        ),
        failures=(
            *map(_failure, root.iterfind("failures/failure")),
            *(f"{cib.DRBD} may not be promoted on {node} ({ban})" for node, ban in bans),
        ),
        bans=bans,
        standby=_nodes(root, "standby", "true"),
        asking=frozenset(
            node.get("name", "")
            for node in root.iterfind("node_attributes/node")
            for attribute in node.iterfind("attribute")
            if attribute.get("name") == ASKING
        ),
        unhealthy=_nodes(root, "health", "red"),
    )


def configuration(run: Run) -> str:
    """The CIB as it is now. Raises CommandError when pacemaker does not answer. Reads only."""
    return run(["cibadmin", "--query"]).stdout


def is_blank(live: str) -> bool:
    """Whether a CIB holds no resource and no constraint, so that ours may be put into it."""
    root = _xml(live)
    return not any(len(found) for tag in ("resources", "constraints") for found in root.iter(tag))


def drift(planned: str, live: str) -> list[str]:
    """How the objects of ours in a CIB differ from those planned; nothing else is looked at.

    A target-role is not: whoever stops a resource means it, and its step says that it is stopped.
    """
    ours, theirs = _objects(planned), _objects(live)
    found = [f"{id_} {MISSING}" for id_ in ours if id_ not in theirs]
    found += [f"{id_} is in the CIB and not in the plan" for id_ in theirs if id_ not in ours]
    for id_, wanted in ours.items():
        is_now = theirs.get(id_, wanted)
        found += [
            f"{id_}: {key} is {is_now.get(key)}, planned {wanted.get(key)}"
            for key in sorted({*wanted, *is_now})
            if wanted.get(key) != is_now.get(key)
        ]
    return found + _overruled(planned, live)


def load(run: Run) -> None:
    """Put our configuration into a CIB that is_blank(): one transaction, and nothing replaced.

    Of a section alone, so that no cluster is too old for the file's crm_feature_set.
    """
    change(
        run,
        "cibadmin", "--modify", "--allow-create", "--scope", "configuration",
        "--xml-file", str(cib.PATH),
    )  # fmt: skip


def release(run: Run, clone: str) -> None:
    """Let a clone start that was born stopped."""
    change(run, "crm_resource", "--resource", clone, "--meta", "--delete-parameter", "target-role")


def clean_up(run: Run, resource: str) -> None:
    """Forget a resource's failures, so that it is tried again."""
    change(run, "crm_resource", "--cleanup", "--resource", resource)


def wait_for_nobody(run: Run) -> None:
    """Let this node be a cluster of its own until it stops, as `pcs quorum unblock` does."""
    change(run, "corosync-cmapctl", "-s", "quorum.cancel_wait_for_all", "u8", "1")


def fence(run: Run, node: str, timeout_s: int) -> None:
    """Cut a node's power and give it back, by the cluster's own devices and levels."""
    argv = ["stonith_admin", "--reboot", node, "--timeout", str(timeout_s)]
    run(argv, timeout_s=timeout_s + CHANGE_TIMEOUT_S)


def extend(run: Run, additions: str) -> None:
    """Put objects into the configuration that it does not have yet: all of them, or none."""
    argv = ["cibadmin", "--modify", "--allow-create", "--scope", "configuration", "--xml-pipe"]
    run(argv, stdin=additions, timeout_s=CHANGE_TIMEOUT_S)


def forget(run: Run, xpath: str) -> None:
    """Take out of the configuration what the XPath finds: all of it, or nothing."""
    change(run, "cibadmin", "--delete-all", "--force", "--xpath", xpath)


def stop(run: Run, resource: str) -> None:
    """Have a resource stopped, and stay so."""
    stopped = ("--set-parameter", "target-role", "--parameter-value", "Stopped")
    change(run, "crm_resource", "--resource", resource, "--meta", *stopped)


def move(run: Run, resource: str, node: str, most_s: int) -> None:
    """Have a resource moved, by a constraint that ends by itself when settle() does not end it."""
    where = ("--node", node, "--lifetime", f"PT{most_s}S")
    change(run, "crm_resource", "--move", "--resource", resource, *where)


def settle(run: Run, resource: str) -> None:
    """Take away the constraint of move(), or of whoever moved it before."""
    change(run, "crm_resource", "--clear", "--resource", resource)


def start_units(run: Run) -> None:
    """Have systemd start the cluster on this node; it goes on in the background."""
    run(["systemctl", "start", "--no-block", *CLUSTER])


def stop_units(run: Run, timeout_s: float) -> None:
    """Stop the cluster on this node; pacemaker stops its resources first."""
    run(["systemctl", "stop", *CLUSTER], timeout_s=timeout_s)


def units_active(run: Run) -> bool:
    """Whether systemd has both daemons running. Reads only."""
    return _unit_states(run) == ["active"] * len(CLUSTER)


def broken_units(run: Run) -> list[str]:
    """Which of the cluster's units failed, in words. Reads only."""
    return [
        f"{unit} failed; next: journalctl --boot --unit {unit}"
        for unit, state in zip(CLUSTER, _unit_states(run))
        if state == "failed"
    ]


def _unit_states(run: Run) -> list[str]:
    # 3: one of them is not active, 4: there is no such unit (systemctl(1), "Exit status").
    return run(["systemctl", "is-active", *CLUSTER], ok=(0, 3, 4)).stdout.split()


def change(run: Run, *argv: str) -> None:
    """Run one of pacemaker's commands that changes something. Raises CommandError."""
    run(argv, timeout_s=CHANGE_TIMEOUT_S)


def _xml(text: str) -> ET.Element:
    try:
        return ET.fromstring(text)  # noqa: S314 - what root's own pacemaker wrote
    except ET.ParseError as error:
        raise ValueError(f"not pacemaker's XML: {error}: {text[:100]!r}") from None


def _nodes(root: ET.Element, key: str, value: str) -> frozenset[str]:
    nodes = root.iterfind("nodes/node")
    return frozenset(node.get("name", "") for node in nodes if node.get(key) == value)


def _watched(root: ET.Element) -> list[tuple[str, str]]:
    return [
        (resource.get("id", ""), node.get("name", ""))
        for node in root.iterfind("node_history/node")
        for resource in node.iterfind("resource_history")
        for operation in resource.iterfind("operation_history")
        # 8: running and promoted, which is what such an instance should be (OCF).
        if operation.get("interval") and operation.get("rc") in ("0", "8")
    ]


def _bans(root: ET.Element) -> tuple[tuple[str, str], ...]:
    return tuple(
        (ban.get("node", ""), ban.get("id", ""))
        for ban in root.iterfind("bans/ban")
        if ban.get("resource") == cib.DRBD_CLONE
    )


def _failure(failure: ET.Element) -> str:
    why = failure.get("exitreason") or failure.get("exitstatus") or failure.get("status")
    return f"{failure.get('op_key')} on {failure.get('node')}: {why}"


def _objects(text: str) -> dict[str, dict[str, str]]:
    configuration = _xml(text).find("configuration")
    if configuration is None:
        raise ValueError(f"not a CIB: {text[:100]!r}")
    return {
        element.attrib["id"]: {"tag": element.tag, **element.attrib}
        for element in configuration.iter()
        if element.get("id", "").startswith("ks-") and element.get("name") != "target-role"
    }


def _overruled(planned: str, live: str) -> list[str]:
    """Cluster properties of ours that another set of properties gives another value."""
    wanted = _properties(planned, ours=True)
    return [
        f"{id_} says {value}, planned {wanted[name]}"
        for id_, name, value in _property_list(live, ours=False)
        if wanted.get(name, value) != value
    ]


def _properties(text: str, *, ours: bool) -> dict[str, str]:
    return {name: value for _, name, value in _property_list(text, ours=ours)}


def _property_list(text: str, *, ours: bool) -> list[tuple[str, str, str]]:
    return [
        (pair.get("id", ""), pair.get("name", ""), pair.get("value", ""))
        for pair in _xml(text).iterfind("configuration/crm_config/cluster_property_set/nvpair")
        if pair.get("id", "").startswith("ks-") == ours
    ]
