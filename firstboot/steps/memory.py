"""Memory: equal pages of guests merged, as eagerly as the profile says, or not at all."""

from collections.abc import Sequence

from firstboot import files, units, unread
from firstboot.engine import Step
from firstboot.render import ksm
from firstboot.steps import Context

READER = "ksmtuned"


class Memory(Step):
    """ksmtuned.conf, and both services running and enabled, or neither."""

    name = "memory"
    needs = "ksm"
    settles_s = 30.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files = ksm.render(context.identity)
        self._wanted = context.identity.pair.ksm.enabled
        self._remark = ""

    def remark(self) -> str:
        """Why a service does not run though it should: in a virtual machine neither does."""
        return self._remark

    def check(self) -> Sequence[str]:
        """The file, whether ksmtuned read it, and what systemd says of both services."""
        root = self._context.root
        missing = [*files.differing(root, self._files), *unread.marked(root, READER)]
        self._remark = ""
        for name, unit in units.states(self._context.run, ksm.UNITS).items():
            if unit.enabled != self._wanted:
                missing.append(f"{name} is {'' if unit.enabled else 'not '}enabled")
            if self._wanted and unit.held_back:
                self._remark = f"{name} does not run here: systemctl status {name}"
            elif unit.active != self._wanted:
                missing.append(f"{name} {'runs' if unit.active else 'does not run'}")
        return missing

    def apply(self) -> None:
        """Write the file and start both, or stop both; systemd goes on in the background."""
        root, run = self._context.root, self._context.run
        if files.differing(root, self._files):
            unread.mark(root, READER)
            files.write(root, self._files)
        verbs = ("enable", "start") if self._wanted else ("disable", "stop")
        run(["systemctl", verbs[0], *ksm.UNITS])
        if unread.marked(root, READER):
            run(["systemctl", "--no-block", "try-restart", ksm.UNITS[1]])
            unread.clear(root, READER)
        run(["systemctl", "--no-block", verbs[1], *ksm.UNITS])
