"""pair.plan: a pair as `ksbuild plan --out` writes it, for `ksnode apply`. Holds no secret."""

import json
from dataclasses import replace

from firstboot import VERSION
from firstboot.engine import Refused
from firstboot.node import SCHEMA, Identity, NodeError, from_json, plan_digest

FORMAT = "ksbuild/pair/1"
MOST_BYTES = 1024 * 1024
AGAIN = "where the profile is: ksbuild plan PROFILE --out pair.plan"


def parse(text: str, identity: Identity) -> Identity:
    """This node by another plan. Raises Refused unless it is a whole plan, of this pair and agent.

    Whether it may be changed to is another question: see change.py.
    """
    try:
        raw = json.loads(text)
    except ValueError:
        raw = None
    if not isinstance(raw, dict) or "format" not in raw:
        raise Refused("this is no plan of a pair", AGAIN)
    for word, mine in (("format", FORMAT), ("agent", VERSION), ("schema", SCHEMA)):
        if raw.get(word) != mine:
            raise Refused(
                f"the plan is of {word} {ascii(raw.get(word))[:80]}, this node's is {mine!r}",
                f"with the ksbuild of the version {VERSION}, {AGAIN}",
            )
    digest = raw.pop("digest", None)
    own = {key: value for key, value in raw.items() if key not in ("format", "agent")}
    try:
        wanted = from_json(json.dumps({**own, "node": _somebody(own)}))
    except NodeError as error:
        raise Refused(f"this plan is not whole: {error}", AGAIN) from None
    if wanted.pair.id != identity.pair.id:
        raise Refused(
            f"the plan is of pair {wanted.pair.id}, this node is of {identity.pair.id}", AGAIN
        )
    if digest != plan_digest(wanted.pair):
        raise Refused("the plan was changed by hand, or damaged", f"change the profile; {AGAIN}")
    return replace(wanted, node=identity.node)


def _somebody(plan: "dict[str, object]") -> object:
    """A node of the plan; that this one is in it is for change.py to see."""
    pair = plan.get("pair")
    nodes = pair.get("nodes") if isinstance(pair, dict) else None
    first = nodes[0] if isinstance(nodes, list) and nodes else None
    return first.get("name") if isinstance(first, dict) else None
