"""pycdlib without its clock and dice, so that the same input gives the same bytes.

pycdlib stamps every volume descriptor and directory record with `time.time()` in the local time
zone, and offers no argument for it. The names `time` inside its modules are exchanged for the time
of a block, which no other code on the machine notices. The random GUIDs of its isohybrid GPT are
plain attributes and set there (`builder.media.iso9660`).
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

from pycdlib import dates, headervd, pycdlib, rockridge, utils

_MODULES = (dates, headervd, pycdlib, rockridge, utils)
_lock = threading.Lock()


@contextlib.contextmanager
def pycdlib_at(when: int) -> Iterator[None]:
    """Let pycdlib believe that it is `when` (seconds since 1970) in UTC; one block at a time."""
    clock = SimpleNamespace(
        time=lambda: float(when),
        localtime=time.gmtime,
        gmtime=time.gmtime,
        strftime=time.strftime,
        strptime=time.strptime,
        struct_time=time.struct_time,
    )
    with _lock:
        before = [(module, vars(module)["time"]) for module in _MODULES if "time" in vars(module)]
        try:
            for module, _ in before:
                vars(module)["time"] = clock
            yield
        finally:
            for module, original in before:
                vars(module)["time"] = original
