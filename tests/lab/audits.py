"""What must be true of a pair in production after anything that may happen to it.

Each audit gives complaints, none when all is well. They look by the node's own programs, on both
nodes, and change nothing.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Sequence

from tests.lab.progress import Tell
from tests.lab.writer import Writer
from tests.uml.pair import TestPair

# What a kernel says that lost its way; a journal replayed after a power cut is no such thing.
BAD_WORDS = re.compile(
    r"withdraw|fatal: (?:filesystem|invalid)|Call Trace|BUG:|Oops|I/O error"
    r"|Split-Brain detected"
)
# Linux 6.1's own check of memcpy(): dlm copies a message with what follows its struct into memory
# that it took for both (dlm_add_requestqueue()). Debian 12's stock kernel warns of that, in QEMU.
KNOWN = re.compile(
    r"^-+\[ cut here \]-+\nmemcpy: detected field-spanning write .* at fs/dlm/requestqueue\.c:.*\n"
    r"(?:.*\n)*?-+\[ end trace .*$",
    re.MULTILINE,
)
CONNECTED = re.compile(r"cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate")
LOOK_AGAIN_S = 10.0
# Since when what a kernel says counts (s since 1970), written by a drill that made it say such.
HEARD = "/run/lab-heard"

Audit = Callable[[TestPair], list[str]]


def mounted(pair: TestPair) -> list[str]:
    """GFS2 is mounted on both nodes."""
    place = f" {pair.plan.gfs2.mount} gfs2 "
    return [
        f"{server.name}: not mounted"
        for server in pair.servers
        if place not in pair.on(server, "cat /proc/mounts")
    ]


def replicated(pair: TestPair) -> list[str]:
    """DRBD is Connected, Primary/Primary, UpToDate/UpToDate."""
    told = {server.name: pair.on(server, "cat /proc/drbd") for server in pair.servers}
    return [
        f"{name}: {(re.findall('cs:.*', text) or ['DRBD is down'])[0]}"
        for name, text in told.items()
        if not CONNECTED.search(text)
    ]


def clustered(pair: TestPair) -> list[str]:
    """Both nodes are online and agree on one CIB; no resource failed, nobody is held back."""
    texts = [pair.on(server, "cibadmin --query --local") for server in pair.servers]
    found = []
    first, second = (_configuration(text) for text in texts)
    if first != second:
        found.append("the nodes have different CIBs")
    if "drbd-fence-by-handler" in texts[0] or "cli-ban" in texts[0]:
        found.append("a constraint of DRBD's handlers is left")
    status = pair.on(pair.servers[0], "crm_mon -1rf")
    found += [line.strip() for line in status.splitlines() if "FAILED" in line or "OFFLINE" in line]
    return found + re.findall(r"UNCLEAN.*|Failed (?:Resource|Fencing) Actions.*", status)


def as_planned(pair: TestPair) -> list[str]:
    """`ksnode check` is OK on both nodes."""
    told = [pair.on(server, "ksnode check || :").strip() for server in pair.servers]
    return [line for line in told if "KSNODE OK" not in line]


def kernel_is_quiet(pair: TestPair) -> list[str]:
    """No kernel tells of a withdrawn file system, a lost write, or itself."""
    log = f"journalctl -k -b --no-pager -o cat --since=@$(cat {HEARD} || echo 0)"
    return [
        f"{server.name}: {line}"
        for server in pair.servers
        for line in bad_lines(pair.on(server, log))
    ]


def bad_lines(log: str) -> list[str]:
    """Those lines of a kernel's log that it should not have."""
    return [line for line in KNOWN.sub("", log).splitlines() if BAD_WORDS.search(line)]


AUDITS: tuple[Audit, ...] = (mounted, replicated, clustered, as_planned, kernel_is_quiet)


def complaints(pair: TestPair) -> list[str]:
    """What the first of them that complains finds now; a node that can't be asked is a complaint.

    The others would only cost a recovering node its time.
    """
    for audit in AUDITS:
        try:
            found = audit(pair)
        except subprocess.SubprocessError as error:
            found = [f"{audit.__name__}: {error}"]
        if found:
            return found
    return []


def settle(pair: TestPair, timeout: float, tell: Tell) -> list[str]:
    """Wait until nobody complains, and tell of what; what is left after timeout seconds."""
    end, told = time.monotonic() + timeout, list[str]()
    while (left := complaints(pair)) and time.monotonic() < end:
        if left != told:
            tell("", f"not whole yet: {left[0]}")
            told = left
        time.sleep(LOOK_AGAIN_S)
    return left


def lost(pair: TestPair, writers: Sequence[Writer]) -> list[str]:
    """Nothing that was acknowledged is missing, on either node, of any writer so far."""
    found = []
    for writer in writers:
        for server in pair.servers:
            loss = writer.loss(pair.on, server)
            if loss.missing:
                found.append(
                    f"{server.name} lacks {loss.missing} of {loss.acknowledged} acknowledged"
                    f" records of {writer.path}, from {loss.first}"
                )
    return found


def _configuration(text: str) -> str:
    """The configuration and its version; what nodes report of themselves comes in at any time."""
    head = re.search(r"<cib .*?>", text)
    whole = re.search(r"<configuration>.*</configuration>", text, re.DOTALL)
    assert head, text
    assert whole, text
    version = re.findall(r'\b(admin_epoch|epoch)="(\d+)"', head[0])
    return f"{sorted(version)} {whole[0]}"
