"""An agent's responder as a process of its own: `python -m tests.pair.responder ROOT NODE PORT`.

Says "ready" when it answers, and after each line it reads what it heard of the peer, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from firstboot.rendezvous import session
from firstboot.rendezvous.session import Meeting
from tests.firstboot.conftest import an_identity


def main() -> None:
    root, node, port = sys.argv[1:]
    session.TALK_TIMEOUT_S = 1.0  # ten times as fast as the callers of test_flood.py think
    meeting = Meeting(an_identity(node), Path(root), "boot", port=int(port))
    meeting.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps({"agreed": meeting.agreed()}), flush=True)


if __name__ == "__main__":
    main()
