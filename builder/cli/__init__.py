"""The command line: words results and errors, sets exit statuses, holds no logic."""

import click

from builder.cli.outcome import Commands

# Command -> the module that has it. Only the one that was asked for is imported; --help alone
# takes all.
COMMANDS = {
    "init": "init",
    "validate": "validate",
    "explain": "validate",
    "schema": "validate",
    "plan": "plan",
    "render": "plan",
    "report": "report",
    "iso": "iso",
    "pxe": "pxe",
    "inspect": "inspect",
    "serve": "serve",
    "reinstall": "reinstall",
    "keys": "keys",
    "hash-password": "keys",
    "doctor": "doctor",
    "completion": "doctor",
    "try": "trial",
    "demo-source": "demo_source",
}


@click.group(
    cls=Commands, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="ksbuild", prog_name="ksbuild")
def main() -> None:
    """One page of TOML in; two bare servers become one fenced KVM pair.

    Exit status: 0 done, 1 bug, 2 wrong usage, 3 profile not valid, 4 source not usable,
    5 refused for safety, 6 environment (space, permission, tool), 7 the plans differ, 130
    interrupted.
    """
