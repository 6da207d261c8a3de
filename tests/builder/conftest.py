"""A plan with stand-ins for what differs on each machine: agent, keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.plan import Plan, plan
from builder.plan.trust import Introduction, Leaf
from builder.profile.load import load
from builder.profile.model import Profile
from builder.resources import templates
from tests.builder.server import Server

LEAF = Leaf("CERTIFICATE", "KEY", "CA", "LINK")


def plan_of(profile: Path) -> Plan:
    """The plan of a profile with a fixed agent and fixed keys."""
    return planned(load(profile).profile)


def planned(profile: Profile, **more: Any) -> Plan:
    """The same for a checked profile; `more` as plan() takes it."""
    leaves = {node.name: LEAF for node in profile.node}
    return plan(profile, Introduction(leaves), b"AGENT", templates(), **more)


@pytest.fixture(scope="session")
def example(root: Path) -> Plan:
    """The plan of profiles/example.toml."""
    return plan_of(root / "profiles/example.toml")


@pytest.fixture
def server(example: Plan, tmp_path: Path) -> Server:
    """The first node's hardware; no disk yet."""
    node = example.profile.node[0]
    macs = (*node.uplink.ports, *node.crossover.ports, "00:25:B3:22:D9:40")
    return Server(tmp_path / "server", macs=macs)


@pytest.fixture
def changed(root: Path, tmp_path: Path) -> Callable[..., Plan]:
    """A plan of the example with words of its profile replaced."""

    def change(*replacements: tuple[str, str]) -> Plan:
        text = (root / "profiles/example.toml").read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "changed.toml").write_text(text)
        return plan_of(tmp_path / "changed.toml")

    return change
