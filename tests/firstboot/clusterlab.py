"""A CIB with two nodes online, for pacemaker's own crm_verify and crm_simulate."""

import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from firstboot.node import FenceDevice, Pair
from tests.firstboot.conftest import a_pair

UP_TO_DATE = "10000"  # ocf:linbit:drbd's score of a node whose disk is UpToDate


def two_levels() -> Pair:
    """The pair with a redundant power supply behind each BMC: two PDUs that must both cut."""
    pair = a_pair()
    pdus = [
        FenceDevice(2, "custom", None, None, "ksfence", None, f"/usr/sbin/{agent}")
        for agent in ("fence_apc", "fence_eaton_snmp")
    ]
    first, second = (replace(node, fencing=(*pdus, *node.fencing)) for node in pair.nodes)
    return replace(pair, nodes=(first, second))


def online(cib: str, scores: Sequence[str], *, released: bool = True) -> str:
    """That CIB in a cluster of both nodes; `scores` are DRBD's, node by node.

    `released` takes away the target-role with which the clones are born.
    """
    root = xml(cib)
    root.set("have-quorum", "1")
    root.set("dc-uuid", "1")
    for meta in root.iter("meta_attributes"):
        for pair in list(meta) if released else ():
            if pair.get("name") == "target-role":
                meta.remove(pair)
    status = root.find("status")
    assert status is not None
    for node, score in zip(root.iter("node"), scores):
        status.append(_state(node.attrib["id"], node.attrib["uname"], score))
    return ET.tostring(root, encoding="unicode")


def xml(text: str) -> ET.Element:
    """What pacemaker's own tools or ours wrote, parsed."""
    return ET.fromstring(text)  # noqa: S314 - a local program's output


def _state(number: str, name: str, score: str) -> ET.Element:
    member = {"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"}
    state = ET.Element("node_state", {"id": number, "uname": name, **member})
    transient = ET.SubElement(state, "transient_attributes", {"id": number})
    attributes = ET.SubElement(transient, "instance_attributes", {"id": f"status-{number}"})
    if score:
        values = {"name": "master-ks-drbd", "value": score}
        ET.SubElement(attributes, "nvpair", {"id": f"status-{number}-score", **values})
    ET.SubElement(ET.SubElement(state, "lrm", {"id": number}), "lrm_resources")
    return state


def shut_down(cib: str, number: str) -> str:
    """That CIB with one node asking to leave, as pacemaker does when its unit is stopped."""
    ask = f'<nvpair id="status-{number}-shutdown" name="shutdown" value="1600000000"/>'
    mark = f'<instance_attributes id="status-{number}">'
    assert mark in cib
    return cib.replace(mark, mark + ask)


def set_node(cib: str, node: str, name: str, value: str) -> str:
    """That CIB with a transient attribute of a node, as pacemaker-attrd writes it."""
    root = xml(cib)
    (state,) = (found for found in root.iter("node_state") if found.get("uname") == node)
    attributes = state.find("transient_attributes/instance_attributes")
    assert attributes is not None
    id_ = f"{attributes.get('id')}-{name.strip('#')}"
    ET.SubElement(attributes, "nvpair", {"id": id_, "name": name, "value": value})
    return ET.tostring(root, encoding="unicode")


def guest(cib: str, name: str) -> str:
    """That CIB with a guest as the manual makes one; pacemaker's Dummy stands in for its agent."""
    root = xml(cib)
    resources, constraints = root.find(".//resources"), root.find(".//constraints")
    assert resources is not None
    assert constraints is not None
    kind = {"class": "ocf", "provider": "pacemaker", "type": "Dummy"}
    primitive = ET.SubElement(resources, "primitive", {"id": name, **kind})
    meta = ET.SubElement(primitive, "meta_attributes", {"id": f"{name}-meta"})
    for key, value in (("allow-migrate", "true"), ("priority", "1")):
        ET.SubElement(meta, "nvpair", {"id": f"{name}-{key}", "name": key, "value": value})
    order = {"first": "ks-vmdata-clone", "first-action": "start", "then": name}
    ET.SubElement(constraints, "rsc_order", {"id": f"{name}-order", **order})
    beside = {"rsc": name, "with-rsc": "ks-vmdata-clone", "score": "INFINITY"}
    ET.SubElement(constraints, "rsc_colocation", {"id": f"{name}-beside", **beside})
    return ET.tostring(root, encoding="unicode")


def simulate(cib: str, folder: Path, *options: str) -> tuple[list[str], str]:
    """What pacemaker would do, action by action in order, and the CIB it would then have."""
    before, after = folder / "before.xml", folder / "after.xml"
    before.write_text(cib)
    done = subprocess.run(
        ["crm_simulate", "-S", "--xml-file", before, "--save-output", after, *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.partition("Executing Cluster Transition:")[2]
    lines = lines.partition("Revised Cluster Status:")[0]
    real = re.findall(r"^  \* (?:Resource action: |Cluster action: |)(.+)$", lines, re.MULTILINE)
    actions = [" ".join(a.split()) for a in real if not a.startswith("Pseudo")]
    return [re.sub(r":\d\b", "", action) for action in actions], after.read_text()
