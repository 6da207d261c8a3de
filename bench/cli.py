"""What every command costs before it does anything: processor seconds of --help and validate.

Medians of five runs, beside Python itself and click alone, which nobody here can make quicker.
`python -m bench.cli`
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 5
AIMS = {"--help": 0.25, "validate": 0.5}
COMMANDS = {
    "python": ["-c", "pass"],
    "import click": ["-c", "import click"],
    "--help": ["-m", "builder", "--help"],
    "validate": ["-m", "builder", "validate", "profiles/example.toml"],
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run, its children included."""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print a line for each command; a busy machine counts more seconds for the same work."""
    print(f"load {os.getloadavg()[0]:.1f}, medians of {ROUNDS}")
    for name, arguments in COMMANDS.items():
        seconds = statistics.median(cpu_seconds(arguments) for _ in range(ROUNDS))
        aim = f", meant to be under {AIMS[name]}" if name in AIMS else ""
        print(f"  {name:<14} {seconds:.3f} s of CPU{aim}")


if __name__ == "__main__":
    main()
