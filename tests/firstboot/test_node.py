"""node.json is read strictly, and the plan digest is the same exactly for the same plan."""

import dataclasses
import json
from typing import Any

import pytest

from firstboot.node import (
    CAPABILITIES,
    NodeError,
    from_json,
    partition_uuid,
    plan_digest,
    to_json,
)
from firstboot.rendezvous.plans import key_digests
from tests.firstboot.conftest import PAIR_ID, a_pair, an_identity


def test_what_is_written_is_read() -> None:
    identity = an_identity("julius")
    assert from_json(to_json(identity)) == identity
    assert identity.me.name == "julius"
    assert identity.peer.name == "justinian"


def edited(*path: Any, value: Any) -> str:
    raw = json.loads(to_json(an_identity()))
    place = raw
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not JSON"),
        ("[]", "schema 1 expected"),
        (edited("schema", value=2), "schema 1 expected"),
        (edited("node", value="nero"), "'nero' is not a node"),
        (edited("pair", "platform", value="vms"), "unknown platform"),
        (edited("pair", "crossover", "mtu", value="9000"), "pair.crossover.mtu: int expected"),
        (edited("pair", "crossover", "mtu", value=True), "pair.crossover.mtu: int expected"),
        (edited("pair", "nodes", value=[]), "pair.nodes: 2 items expected"),
        (edited("pair", "nodes", 0, value=7), "pair.nodes[0]: an object expected"),
        (edited("pair", "nodes", 0, "crossover_ports", value="x"), "a list expected"),
        (edited("pair", "more", value=1), "unknown keys ['more']"),
    ],
)
def test_what_is_wrong_is_named(text: str, what: str) -> None:
    with pytest.raises(NodeError) as caught:
        from_json(text)
    assert what in str(caught.value)


def test_the_digest_follows_every_leaf_of_the_plan() -> None:
    pair = a_pair()
    changed = dataclasses.replace(pair, crossover=dataclasses.replace(pair.crossover, mtu=1500))
    assert plan_digest(pair) == plan_digest(a_pair())
    assert plan_digest(pair) != plan_digest(changed)
    mine, other = key_digests(pair), key_digests(changed)
    assert [key for key in mine if mine[key] != other[key]] == ["pair.crossover.mtu"]
    assert "9000" not in mine.values()


def test_partition_uuids_tell_pairs_nodes_and_partitions_apart() -> None:
    other = PAIR_ID.replace("6d", "7d")
    uuids = {
        partition_uuid(pair, node, partition)
        for pair in (PAIR_ID, other)
        for node in ("justinian", "julius")
        for partition in ("root", "data")
    }
    assert len(uuids) == 8
    assert partition_uuid(PAIR_ID, "julius", "data") == partition_uuid(PAIR_ID, "julius", "data")
    with pytest.raises(ValueError, match="no partition"):
        partition_uuid(PAIR_ID, "julius", "home")


def test_el9_can_do_everything() -> None:
    assert CAPABILITIES["el9"] == frozenset().union(*CAPABILITIES.values())
    assert CAPABILITIES["el9"]
