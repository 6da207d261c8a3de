"""A plan with stand-ins for what differs on each machine: agent, keys."""

from pathlib import Path

import pytest

from builder.plan import Plan, plan
from builder.plan.trust import Introduction, Leaf
from builder.profile.load import load
from builder.resources import templates

LEAF = Leaf("CERTIFICATE", "KEY", "CA")


def plan_of(profile: Path) -> Plan:
    """The plan of a profile with a fixed agent and fixed keys."""
    checked = load(profile).profile
    leaves = {node.name: LEAF for node in checked.node}
    return plan(checked, Introduction(leaves), b"AGENT", templates())


@pytest.fixture(scope="session")
def example(root: Path) -> Plan:
    """The plan of profiles/example.toml."""
    return plan_of(root / "profiles/example.toml")
