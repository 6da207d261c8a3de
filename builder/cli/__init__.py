"""The command line: words results and errors, sets exit statuses, holds no logic."""

import click

from builder.cli.demo_source import demo_source
from builder.cli.doctor import completion, doctor
from builder.cli.init import init
from builder.cli.inspect import inspect
from builder.cli.iso import iso
from builder.cli.keys import hash_password, keys
from builder.cli.outcome import Commands
from builder.cli.plan import plan, render
from builder.cli.pxe import pxe
from builder.cli.serve import reinstall, serve
from builder.cli.trial import trial
from builder.cli.validate import explain, schema, validate


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ksbuild", prog_name="ksbuild")
def main() -> None:
    """One page of TOML in; two bare servers become one fenced KVM pair.

    Exit status: 0 done, 1 bug, 2 wrong usage, 3 profile not valid, 4 source not usable,
    5 refused for safety, 6 environment (space, permission, tool), 130 interrupted.
    """


main.add_command(init)
main.add_command(validate)
main.add_command(explain)
main.add_command(schema)
main.add_command(plan)
main.add_command(render)
main.add_command(iso)
main.add_command(pxe)
main.add_command(inspect)
main.add_command(serve)
main.add_command(reinstall)
main.add_command(keys)
main.add_command(hash_password)
main.add_command(doctor)
main.add_command(completion)
main.add_command(trial)
main.add_command(demo_source)
