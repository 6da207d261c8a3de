"""Read a kickstart with pykickstart's RHEL 9 handler, and know what becomes of every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pykickstart.constants import (
    KS_REBOOT,
    KS_SCRIPT_ONERROR,
    KS_SCRIPT_POST,
    KS_SCRIPT_PRE,
    KS_SCRIPT_PREINSTALL,
    KS_SHUTDOWN,
)
from pykickstart.errors import KickstartError
from pykickstart.parser import KickstartParser
from pykickstart.sections import NullSection
from pykickstart.version import makeVersion

from tests.uml.installer.report import InstallationError, Report

VERSION = "RHEL9"
KINDS = {
    "pre": KS_SCRIPT_PRE,
    "pre-install": KS_SCRIPT_PREINSTALL,
    "post": KS_SCRIPT_POST,
    "onerror": KS_SCRIPT_ONERROR,
}

# Carried out, or obeyed.
HANDLED = {
    *("part", "partition", "ignoredisk", "clearpart", "zerombr", "network", "rootpw", "sshkey"),
    *("timezone", "services", "bootloader", "reboot", "poweroff", "shutdown", "halt"),
}
# Accepted with a note: what they configure isn't there, or doesn't matter to a machine of the lab.
NOTED = {
    **dict.fromkeys(("text", "cmdline"), "the stand-in has no other mode"),
    **dict.fromkeys(("lang", "keyboard", "timesource", "skipx"), "not on this platform"),
    **dict.fromkeys(("url", "repo", "cdrom", "harddrive", "nfs"), "Debian is unpacked instead"),
    **dict.fromkeys(("selinux", "firewall", "module"), "not on this platform"),
    **dict.fromkeys(("firstboot", "eula"), "not on this platform"),
}
_SECTIONS = ("%pre", "%pre-install", "%post", "%onerror", "%packages", "%end", "%include")
_NOTED_SECTIONS = ("%addon", "%anaconda")


def read_pre_scripts(path: Path) -> list[Any]:
    """Return the %pre scripts, reading nothing else, as Anaconda's first pass does.

    %onerror is not read either, which is why Anaconda runs none when a %pre fails.
    """
    handler = makeVersion(VERSION)
    parser = KickstartParser(handler, missingIncludeIsFatal=False, unknownSectionIsFatal=False)
    for name in ("%pre-install", "%post", "%onerror", "%traceback", "%packages"):
        parser.registerSection(NullSection(handler, sectionOpen=name))
    parser.handleCommand = lambda _lineno, _args: None
    _read(parser, path)
    return scripts(handler, "pre")


def read(path: Path, report: Report) -> Any:
    """Return the handler with the whole kickstart, %include followed.

    Raises InstallationError for a syntax error and for any command or section without a rule here.
    """
    _check_sections(path, report)
    handler = makeVersion(VERSION)
    parser = KickstartParser(handler)
    carry_out = parser.handleCommand

    def judge(lineno: int, args: list[str]) -> Any:
        if args[0] in NOTED:
            report.notes.append(f"{args[0]}: {NOTED[args[0]]}")
        elif args[0] not in HANDLED:
            raise InstallationError(f"line {lineno}: the stand-in has no rule for {args[0]!r}")
        return carry_out(lineno, args)

    parser.handleCommand = judge
    _read(parser, path)
    report.packages = [f"@{group.name}" for group in handler.packages.groupList]
    report.packages += handler.packages.packageList
    return handler


def scripts(handler: Any, kind: str) -> list[Any]:
    """Return the scripts of one kind of KINDS, in the file's order."""
    return [script for script in handler.scripts if script.type == KINDS[kind]]


def ending(handler: Any) -> str:
    """Return what the kickstart asks for at the end: reboot, poweroff or "" (wait)."""
    names = {KS_REBOOT: "reboot", KS_SHUTDOWN: "poweroff"}
    return names.get(handler.reboot.action, "")


def _read(parser: Any, path: Path) -> None:
    try:
        parser.readKickstart(str(path))
    except KickstartError as error:
        raise InstallationError(f"the kickstart is not valid: {error}") from error


def _check_sections(path: Path, report: Report) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        word = line.split()[0] if line.startswith("%") and line.split() else ""
        if word in _NOTED_SECTIONS:
            report.notes.append(f"{' '.join(line.split()[:2])}: not on this platform")
        elif word and word not in _SECTIONS:
            raise InstallationError(f"line {number}: the stand-in has no rule for {word!r}")
