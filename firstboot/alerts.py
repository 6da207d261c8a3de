"""What pacemaker tells of the pair as news for people, and how much of it they get. Pure.

pacemaker calls its alert agent at every event, with CRM_alert_* in the environment (Pacemaker
Administration, "Alert Agents"). Of one thing in one state people hear at most once in QUIET_S; what
was held back meanwhile is told when that is over, by its last state and how often it changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from firstboot.health import GREEN, PREFIX, RED, YELLOW

QUIET_S = 600.0
MOST = 10  # messages in QUIET_S, whatever they are about
KEPT_S = 7 * 24 * 3600.0
LONGEST = 1000  # characters of a text that pacemaker's own words are part of
LEAVING, STOPPED = "leaving", "stopped"
DONE, CANCELLED = "0", "1"  # CRM_alert_status: pcmk_exec_status
OURS = "ks-"

Memory = dict[str, Any]


@dataclass(frozen=True)
class News:
    """`about` a thing, in the `state` it is in now; `relief` is for those who heard worse of it."""

    about: str
    state: str
    text: str
    bad: bool = True
    relief: bool = False


def news(said: Mapping[str, str]) -> Optional[News]:
    """What the environment of an alert agent tells, None where it is of no interest."""
    tell = _KINDS.get(said.get("CRM_alert_kind", ""))
    return None if tell is None else tell(lambda key: _clean(said.get(f"CRM_alert_{key}", "")))


def fresh() -> Memory:
    """What is known before the first news."""
    return {"sent": [], "things": {}, "moving": {}}


def take(memory: Memory, new: News, now: float) -> Optional[News]:
    """What is to be told of it now, None when that is nothing; changes the memory."""
    if new.state == LEAVING:
        memory["moving"][new.about] = now
        return None
    if new.state == STOPPED and _recent(memory["moving"].pop(new.about, None), now):
        return None  # it was moved, which the other node tells
    thing = memory["things"].get(new.about)
    if new.relief and not (thing and (thing["bad"] or thing["held"])):
        return None
    if thing is None:
        thing = memory["things"][new.about] = {"at": {}, "held": 0, "bad": False}
    if _recent(thing["at"].get(new.state), now) or _is_loud(memory, now):
        last = {"state": new.state, "text": new.text, "last_bad": new.bad}
        thing.update(last, held=thing["held"] + 1)
        return None
    memory["sent"].append(now)
    return _told(thing, new, now, thing["held"])


def overdue(memory: Memory, now: float) -> list[News]:
    """What was held back long enough, to be told in one message; changes the memory."""
    _forget(memory, now)
    if _is_loud(memory, now):
        return []
    found = [
        _told(
            thing,
            News(about, thing["state"], thing["text"], thing["last_bad"]),
            now,
            thing["held"] - 1,
        )
        for about, thing in sorted(memory["things"].items())
        if thing["held"] and not _recent(max(thing["at"].values(), default=None), now)
    ]
    memory["sent"] += [now] * bool(found)
    return found


def _told(thing: Memory, new: News, now: float, left_out: int) -> News:
    thing["at"][new.state] = now
    thing.update(bad=new.bad, held=0)
    more = f" ({left_out} more since the last message)" if left_out else ""
    return News(new.about, new.state, new.text + more, new.bad)


def _forget(memory: Memory, now: float) -> None:
    memory["sent"] = [at for at in memory["sent"] if _recent(at, now)]
    memory["moving"] = {what: at for what, at in memory["moving"].items() if _recent(at, now)}
    memory["things"] = {
        about: thing
        for about, thing in memory["things"].items()
        if thing["held"] or now - max(thing["at"].values(), default=0.0) < KEPT_S
    }


def _is_loud(memory: Memory, now: float) -> bool:
    return sum(_recent(at, now) for at in memory["sent"]) >= MOST


def _recent(at: Optional[float], now: float) -> bool:
    return at is not None and 0 <= now - at < QUIET_S  # a clock that was set back ends it


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:LONGEST]


def _node(get: Any) -> Optional[News]:
    name, state = get("node"), get("desc")
    if state == "lost":
        return News(f"node {name}", state, f"{name} is lost to the cluster, or has left it")
    back = f"{name} is a member of the cluster again"
    return News(f"node {name}", state, back, bad=False, relief=True)


def _fencing(get: Any) -> Optional[News]:
    done = get("rc") == DONE
    said = get("desc").partition(" (ref=")[0]
    text = f"fencing of {get('node')} {'is done' if done else 'has FAILED'}: {said}"
    return News(f"fencing {get('node')}", "done" if done else "failed", text)


def _attribute(get: Any) -> Optional[News]:
    name, colour, node = get("attribute_name"), get("attribute_value"), get("node")
    if not name.startswith(PREFIX) or colour not in (GREEN, YELLOW, RED):
        return None
    text = f"health of {node}: {name[len(PREFIX) :]} is {colour}"
    well = colour == GREEN
    return News(f"health {node} {name}", colour, text, bad=not well, relief=well)


def _resource(get: Any) -> Optional[News]:
    what, task, node = get("rsc"), get("task"), get("node")
    status, about = get("status"), f"resource {what}"
    if status in ("-1", CANCELLED) or (task == "monitor" and get("interval") == "0"):
        return None  # begun, taken back, or a look whether it runs here at all
    if status != DONE or get("rc") != get("target_rc"):
        text = f"{what}: {task} has failed on {node}: {get('desc')} ({get('rc')})"
        return News(about, f"{task} failed", text)
    if what.startswith(OURS):
        return None
    if task == "migrate_to":
        return News(about, LEAVING, "")
    if task == "stop":
        return News(about, STOPPED, f"{what} has stopped on {node}")
    if task in ("start", "migrate_from"):
        how = "has started on" if task == "start" else "was moved live to"
        return News(about, task, f"{what} {how} {node}", bad=False)
    return None


_KINDS = {"node": _node, "fencing": _fencing, "attribute": _attribute, "resource": _resource}
