"""The one place in the builder that starts other programs."""

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Where Debian has each program; apt-get and dpkg-deb are on every Debian machine.
_PACKAGES = {
    "apt-get": "apt",
    "depmod": "kmod",
    "dnsmasq": "dnsmasq-base",
    "dpkg-deb": "dpkg",
    "grub-mkimage": "grub-common",
    "qemu-system-x86_64": "qemu-system-x86",
}
# Ordinary users have no /usr/sbin on their path, where depmod is.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a proxy needs is all that a child inherits.
_INHERITED = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class DemoError(Exception):
    """The demonstration source cannot be made; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    timeout_s: float = 300,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program without a shell and return what it wrote to standard output.

    Args:
        argv: program and arguments.
        cwd: folder to run in.
        timeout_s: seconds until it is killed.
        environment: added to a clean one (PATH, LC_ALL=C, proxies).

    Raises:
        DemoError: missing, too slow, or not exit status 0; with the last lines of its errors.
    """
    program = str(argv[0])
    try:
        done = subprocess.run(
            [str(argument) for argument in argv],
            cwd=cwd,
            env=_clean() | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise _missing(program) from error
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"{program} did not end within {timeout_s:.0f} s", "try again") from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-5:]
        message = "\n".join([f"{program} ended with status {done.returncode}", *last])
        raise DemoError(message, "the lines above are its own")
    return done.stdout.decode("utf-8", "replace")


def lines(argv: Sequence[str | Path], *, timeout_s: float) -> Iterator[str]:
    """Start a program and yield what it says, line by line, until it ends or is left alone.

    Leaving the loop ends the program.

    Args:
        argv: program and arguments.
        timeout_s: seconds until it is killed.

    Raises:
        DemoError: missing, or too slow.
    """
    try:
        process = subprocess.Popen(
            [str(argument) for argument in argv],
            env=_clean(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise _missing(str(argv[0])) from error
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout_s, end)
    timer.start()
    try:
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            yield line.decode("utf-8", "replace").rstrip("\r\n")
        if late.is_set():
            raise DemoError(f"{argv[0]} did not end within {timeout_s:.0f} s", "try again")
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _missing(program: str) -> DemoError:
    package = _PACKAGES.get(program, program)
    return DemoError(
        f"{program} is not installed",
        f"on a Debian machine, which this needs: sudo apt-get install {package}",
    )


def _clean() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", **inherited}


Program = subprocess.Popen[bytes]


def start(argv: Sequence[str | Path], said: Path) -> Program:
    """Start a program that runs until its caller ends it; what it says is appended to `said`.

    Raises DemoError where it is missing.
    """
    try:
        with said.open("ab") as out:
            return subprocess.Popen(
                [str(argument) for argument in argv],
                env=_clean(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
    except FileNotFoundError as error:
        name = str(argv[0])
        hint = f"dnf install {name}, or apt-get install {_PACKAGES.get(name, name)}"
        raise DemoError(f"{name} is not installed", hint) from error
