"""What every verb about guests looks at first, and how they wait for pacemaker."""

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Callable, Optional

from firstboot import latches, pacemaker
from firstboot.commands import Run
from firstboot.engine import Refused
from firstboot.guest import domain, images, resource
from firstboot.guest.resource import Guest
from firstboot.pacemaker import Cluster

POLL_S = 2.0


class NotYet(Exception):
    """pacemaker took too long; what is missing, and the next command."""


def ready(root: Path, run: Run) -> Cluster:
    """The cluster as it runs. Raises Refused where it is none, or not whole yet."""
    if not latches.is_set(root, latches.COMPLETE):
        raise Refused("this pair is not complete", "ksnode why")
    state = pacemaker.status(run)
    if state is None:
        raise Refused("pacemaker does not answer on this node", "systemctl status pacemaker")
    return state


def known(run: Run) -> dict[str, Guest]:
    """The guests that pacemaker has, by name."""
    return resource.guests(pacemaker.configuration(run))


def one(found: Mapping[str, Guest], name: str) -> Guest:
    """One of them. Raises Refused when there is none of that name."""
    if name not in found:
        there = f"there are {', '.join(sorted(found))}" if found else "there is none yet"
        raise Refused(f"the cluster has no guest {name}; {there}", "ksnode guest list")
    return found[name]


def nodes_of(state: Cluster, name: str) -> list[str]:
    """Where a guest is, be it that it still starts, stops or moves."""
    return sorted({node for resource, node, _ in state.active if resource == name})


def started_on(state: Cluster, name: str) -> list[str]:
    """Where a guest runs, with its start or its move behind it."""
    return sorted({node for node in nodes_of(state, name) if state.runs(name, node)})


def description(root: Path, guest: Guest) -> Optional[str]:
    """A guest's XML; None where it can't be read, as on a node that has nothing mounted."""
    try:
        return images.below(root, guest.config).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def name_in_libvirt(root: Path, guest: Guest) -> str:
    """What libvirt calls a guest."""
    return domain.name_in(description(root, guest) or "") or guest.name


def failures(state: Optional[Cluster], name: str) -> list[str]:
    """What pacemaker remembers to have failed of a resource."""
    return [f for f in (state.failures if state else ()) if f.startswith(f"{name}_")]


def wait(look: Callable[[], Iterable[str]], most_s: float, way_out: str) -> None:
    """Until nothing is missing, which is told as it changes. NotYet after so many seconds."""
    told: list[str] = []
    while missing := list(look()):
        if most_s <= 0:
            raise NotYet(f"{'; '.join(missing)}\nnext: {way_out}")
        if missing != told:
            print(f"ksnode: waiting: {'; '.join(missing)}", file=sys.stderr, flush=True)
            told = missing
        time.sleep(POLL_S)
        most_s -= POLL_S
