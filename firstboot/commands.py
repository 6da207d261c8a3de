"""The one door through which the agent runs programs: argv lists, a timeout, a clean environment.

Secrets go in by standard input, never by argv: argv is logged and visible to every user.
"""

import logging
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Protocol

log = logging.getLogger(__name__)

TIMEOUT_S = 120.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
NOT_FOUND, TIMED_OUT = 127, 124


@dataclass(frozen=True)
class Result:
    """What a program answered; 127 when it is not installed, 124 when it did not end in time."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class CommandError(Exception):
    """A program failed; the text carries argv, exit status and the last lines it printed."""

    def __init__(self, result: Result) -> None:
        self.result = result
        last = (result.stderr or result.stdout).strip().splitlines()[-5:]
        what = f"{shlex.join(result.argv)} exited {result.returncode}"
        super().__init__(f"{what}: {' | '.join(last)}")


class Run(Protocol):
    """The type of `run`, so that steps can be given a recorded one."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: Optional[str] = None,
        ok: tuple[int, ...] = (0,),
        timeout_s: float = TIMEOUT_S,
    ) -> Result:
        """Run one program to its end."""
        ...


def run(
    argv: Sequence[str],
    *,
    stdin: Optional[str] = None,
    ok: tuple[int, ...] = (0,),
    timeout_s: float = TIMEOUT_S,
) -> Result:
    """Run one program to its end. Raises CommandError when its exit status is not in `ok`."""
    log.info("+ %s", shlex.join(argv))
    try:
        done = subprocess.run(
            list(argv),
            input="" if stdin is None else stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            env=ENVIRONMENT,
            check=False,
        )
        result = Result(tuple(argv), done.returncode, done.stdout, done.stderr)
    except FileNotFoundError:
        result = Result(tuple(argv), NOT_FOUND, "", "not installed")
    except subprocess.TimeoutExpired:
        result = Result(tuple(argv), TIMED_OUT, "", f"no answer within {timeout_s:g} s")
    if result.returncode not in ok:
        raise CommandError(result)
    return result


def attend(argv: Sequence[str]) -> int:
    """Run a program that a human works with on this terminal; its exit status."""
    try:
        return subprocess.run(list(argv), env=ENVIRONMENT, check=False).returncode
    except FileNotFoundError:
        return NOT_FOUND
