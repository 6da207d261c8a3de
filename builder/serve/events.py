"""What a node may tell of itself: a form of three fields, bounded and checked. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from builder.serve.stages import NAMES

LARGEST_BYTES = 64 * 1024
DETAIL_CHARACTERS = 16 * 1024
FAILURES = frozenset({"refused", "failed"})
FINISHED = frozenset({"ok", "done", "complete"})
EVENTS = FAILURES | FINISHED | {"started", "missing", "waiting", "absent"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class EventError(ValueError):
    """The body is no event; the text names the field, never its value."""


@dataclass(frozen=True, slots=True)
class Event:
    """One stage's news: `detail` is for people, several lines if need be."""

    stage: str
    event: str
    detail: str = ""

    @property
    def starts_over(self) -> bool:
        """Whether a new installation begins with it."""
        return self.stage == "installer" and self.event == "started"

    @property
    def ends_installation(self) -> bool:
        """Whether the node starts from its disk from now on."""
        return self.stage == "installed" and self.event == "done"

    @property
    def follows_installation(self) -> bool:
        """Whether only an installed node says so; the call itself is made once and may be lost."""
        return NAMES.index(self.stage) > NAMES.index("installed")


def parse(body: bytes) -> Event:
    """stage=..&event=..&detail=.. as an Event. Raises EventError."""
    if len(body) > LARGEST_BYTES:
        raise EventError("too large")
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=3
        )
    except ValueError:
        raise EventError("not a form of at most three fields") from None
    said = dict(fields)
    if len(said) != len(fields) or not {"stage", "event"} <= said.keys() <= {*Event.__match_args__}:
        raise EventError("stage and event, and at most detail, each once")
    if said["stage"] not in NAMES:
        raise EventError("no such stage")
    if said["event"] not in EVENTS:
        raise EventError("no such event")
    detail = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", said.get("detail", ""))
    detail = detail.encode(errors="replace").decode()
    return Event(said["stage"], said["event"], detail[:DETAIL_CHARACTERS].rstrip())
