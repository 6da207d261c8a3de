"""The account by which the peer cuts this node's power, made in this node's own BMC, in-band.

ipmitool's `user set password ID` without a password asks for it twice by getpass(3), which reads
standard input where there is no terminal to open: setsid(1) sees to that, so it is in no argv.
"""

import csv
import secrets
import string
from collections.abc import Sequence

from firstboot.commands import Run
from firstboot.fencing import lan
from firstboot.fencing.lan import IPMITOOL, Unwilling

FIRST_FREE_ID = 3  # 1 is the anonymous account, 2 the vendor's
LENGTH = 16  # IPMI 1.5's limit, which every BMC takes
ALPHABET = string.ascii_letters + string.digits


def new_password() -> str:
    """16 letters and digits at random, of each kind at least one (95 bits)."""
    while True:
        found = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        kinds = (str.islower, str.isupper, str.isdigit)
        if all(any(kind(letter) for letter in found) for kind in kinds):
            return found


def make(run: Run, name: str, password: str, ipmitool: Sequence[str] = IPMITOOL) -> None:
    """Make the account, or set the one of that name right: operator, over the LAN, this password.

    Doing it again changes nothing. Raises Unwilling, or CommandError when the BMC refuses.
    """

    def ask(*command: str) -> str:
        return run([*ipmitool, *command]).stdout

    channel = lan.channel(run, ipmitool)
    number = choose_id(ask("-c", "user", "list", channel), name)
    ask("user", "set", "name", number, name)
    typed = f"{password}\n{password}\n"
    run(["setsid", "--wait", *ipmitool, "user", "set", "password", number], stdin=typed)
    access = ("callin=off", "ipmi=on", "link=off", "privilege=3")
    ask("channel", "setaccess", channel, number, *access)
    ask("user", "enable", number)


def choose_id(listed: str, name: str) -> str:
    """The account's number in `ipmitool -c user list`: the one of that name, else a free one."""
    rows = [row for row in csv.reader(listed.splitlines()) if len(row) > 1 and row[0].isdigit()]
    for row in rows:
        if row[1] == name:
            return row[0]
    free = [row[0] for row in rows if not row[1].strip() and int(row[0]) >= FIRST_FREE_ID]
    if not free:
        raise Unwilling(f"the BMC has no account {name} and no free one")
    return free[0]
