"""What the two nodes tell each other by pacemaker's node attributes; each goes with its cluster."""

from collections.abc import Sequence

from firstboot.commands import Run
from firstboot.pacemaker import ASKING, CHANGE_TIMEOUT_S, NOT_CONNECTED, change

TOGETHER_S = 5  # pacemaker-attrd writes what changed meanwhile in one transaction
# It goes with the node's membership: a node that was cut off has none.
APPLYING = ("--name", "ks-applying", "--lifetime", "reboot")


def stand_by(run: Run, node: str) -> None:
    """Have a node give up all its resources, until its cluster starts anew."""
    change(run, "crm_standby", "--node", node, "--lifetime", "reboot", "--update", "on")


def stand_by_together(run: Run, nodes: Sequence[str]) -> None:
    """stand_by() for all of them at one moment, so that nothing is moved from one to the other."""
    for node in nodes:
        value = ("--update-both", "on", "--delay", str(TOGETHER_S))
        change(run, "attrd_updater", "--node", node, "--name", "standby", *value)


def ask_to_leave(run: Run, node: str) -> None:
    """Let the other node know that a human wants both off."""
    change(run, "attrd_updater", "--node", node, "--name", ASKING, "--update", "yes")


def ask_no_more(run: Run, node: str) -> None:
    """Take ask_to_leave() back."""
    change(run, "attrd_updater", "--node", node, "--name", ASKING, "--delete")


def mark_applying(run: Run, node: str, plan: str) -> None:
    """Tell both nodes that this one is in the middle of a change to that plan, by its digest."""
    change(run, "crm_attribute", "--node", node, *APPLYING, "--update", plan)


def unmark_applying(run: Run, node: str) -> None:
    """Take that back; where no cluster runs, it is gone."""
    argv = ["crm_attribute", "--node", node, *APPLYING, "--delete"]
    run(argv, ok=(0, NOT_CONNECTED), timeout_s=CHANGE_TIMEOUT_S)


def applying(run: Run, node: str) -> str:
    """The digest of the plan that a node is in the middle of changing to, else "". Reads only."""
    argv = ["crm_attribute", "--node", node, *APPLYING, "--query", "--quiet", "--default", "none"]
    found = run(argv).stdout.strip()
    return "" if found == "none" else found
