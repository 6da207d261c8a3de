"""A rendered kickstart as pykickstart's RHEL 9 understands it, compared with the model.

What Anaconda would do is what pykickstart reads, not what the template was meant to say.
"""

import functools
import ipaddress
import re
import shlex
import warnings
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pykickstart.errors import KickstartError as PykickstartError
from pykickstart.handlers.control import commandMap, dataMap
from pykickstart.parser import KickstartParser
from pykickstart.version import RHEL9, returnClassForVersion

from builder.errors import KickstartError
from builder.plan.disk import os_partitions
from builder.profile.model import NodeSection, Profile

# Those that `url` asks for (pykickstart, commands/method.py).
# Around what %post unpacks (kickstarts/parts/agent.sh.j2).
_AGENT, _AGENT_END = "<<'KSBUILD_AGENT'", "\nKSBUILD_AGENT\n"
# A script from the line that opens it to the first %end, and the lines in it that begin with a %.
_SCRIPT = re.compile(
    r"^(%(?:pre|pre-install|post|onerror|traceback)(?:[^\S\n][^\n]*)?\n)(.*?)^(\s*%end(?:\s|\Z))",
    re.DOTALL | re.MULTILINE,
)
_SPECIAL = re.compile(r"^[^\S\n]*%.*\n", re.MULTILINE)
_METHODS = {"method", *commandMap[RHEL9]["method"]._methods}
# What `check` looks at though the text may not name it.
_COMPARED = frozenset({"repo", "rootpw", "sshkey", "timesource", "user"})
# What Anaconda makes of the partitions that %pre made; of the data partition it is told nothing.
_MOUNTS = {
    "biosboot": ("biosboot", "biosboot"),
    "esp": ("/boot/efi", "efi"),
    "boot": ("/boot", "xfs"),
    "swap": ("swap", "swap"),
    "root": ("/", "xfs"),
}


def parse(text: str, always: Set[str] = _COMPARED) -> Any:
    """The text as pykickstart's RHEL 9 handler understands it; a deprecated option is an error.

    Of its commands only those are made that the text names, and `always`: all of them would take
    most of the time. Any other is an unknown one, as in the whole handler. Raises KickstartError.
    """
    names = {*re.findall(r"^\s*([a-z0-9]+)", text, re.MULTILINE), *always}
    names |= _METHODS if names & _METHODS else set()
    handler = returnClassForVersion(RHEL9)(
        mapping={n: _quick(kind) for n, kind in commandMap[RHEL9].items() if n in names},
        dataMapping=dataMap[RHEL9],
    )
    # Files that %pre writes are not there yet; what stands in them is checked where it is written.
    parser = KickstartParser(handler, missingIncludeIsFatal=False)
    for section in parser._sections.values():
        kind: Any = type(section)
        if hasattr(kind, "_getParser"):
            section._getParser = functools.partial(_options, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Anaconda adds each key to the account's authorized_keys (core/users.py, set_user_ssh_key).
        warnings.filterwarnings("ignore", "An ssh user with the name")
        try:
            parser.readKickstartFromString(text)
        except (PykickstartError, UserWarning, DeprecationWarning) as error:
            raise KickstartError(f"pykickstart rejects the kickstart: {error}") from error
    return handler


@functools.cache
def _quick(kind: Any) -> Any:
    """The command, with the parser of its options made once instead of for each kickstart.

    That parser keeps nothing of a line but its number (pykickstart, options.py), and takes most of
    the time of reading one. Of what ksbuild writes none has a callback into the command itself.
    """
    made: list[Any] = []

    def parser(self: Any) -> Any:
        if not made:
            made.append(kind._getParser(self))
        return made[0]

    return type(kind.__name__, (kind,), {"_getParser": parser})


@functools.cache
def _options(kind: Any) -> Any:
    """The parser of the line that opens a section, made once as well."""
    return kind(returnClassForVersion(RHEL9)(mapping={}, dataMapping={}))._getParser()


def accept(text: str) -> None:
    """Raises KickstartError unless pykickstart takes the text."""
    parse(_outline(text), frozenset())


def check(
    text: str,
    profile: Profile,
    nodes: Sequence[NodeSection],
    packages: Set[str],
    repositories: Mapping[str, str],
) -> None:
    """Compare what the installer will read in `text` with what was meant.

    `repositories` are name -> address. Raises KickstartError naming what differs, never a value
    that could be secret.
    """
    text = _without_agent(text)
    handler, servers = parse(_outline(text)), list(profile.time.servers)
    for what, said, meant in (
        *_access(handler, profile),
        ("packages", _packages(handler), set(packages)),
        ("repositories", {r.name: r.baseurl for r in handler.repo.repoList}, dict(repositories)),
        ("language", handler.lang.lang, profile.install.language),
        ("keyboard", handler.keyboard.keyboard, profile.install.keyboard),
        ("time zone", (handler.timezone.timezone, handler.timezone.isUtc), _zone(profile)),
        ("time servers", [t.ntp_server for t in handler.timesource.timesource_list], servers),
        ("network lines", _networks(text, handler), [_network(node) for node in nodes]),
        ("number of %pre", [script.type for script in handler.scripts].count(0), 1),
        *_disk(text, profile),
    ):
        if said != meant:
            raise KickstartError(f"the kickstart's {what} are not what the profile says")


def _without_agent(text: str) -> str:
    """The text without the agent: thousands of lines of base64, in which there is no %."""
    before, mark, rest = text.partition(_AGENT)
    return before + mark + "".join(rest.partition(_AGENT_END)[1:])


def _outline(text: str) -> str:
    """The text with only those lines of its scripts at which pykickstart looks: any with a %."""

    def script(found: re.Match[str]) -> str:
        opening, body, end = found.groups()
        return "".join((opening, ":\n" if body.strip() else "", *_SPECIAL.findall(body), end))

    return _SCRIPT.sub(script, text)


def _access(handler: Any, profile: Profile) -> list[tuple[str, object, object]]:
    access, root = profile.access, handler.rootpw
    users = [(user.name, list(user.groups), user.password_hash or "") for user in access.users]
    keys = [("root", key) for key in access.ssh_keys]
    keys += [(user.name, key) for user in access.users for key in user.ssh_keys]
    there, secret = handler.user.userList, access.root_password_hash
    return [
        (
            "words on root's password",
            (root.lock, root.isCrypted, root.password),
            (secret is None, secret is not None, secret or ""),
        ),
        ("users", [(user.name, list(user.groups), user.password) for user in there], users),
        (
            "locked or hashed passwords",
            [(user.lock, user.isCrypted) for user in there],
            [(not word, bool(word)) for *_, word in users],
        ),
        ("SSH keys", [(key.username, key.key) for key in handler.sshkey.sshUserList], keys),
    ]


def _packages(handler: Any) -> set[str]:
    """All of them, as a profile writes them; exclusions with a minus."""
    packages = handler.packages
    environment = {f"@^{packages.environment}"} if packages.environment else set()
    groups = {f"@{group.name}" for group in packages.groupList}
    without = {f"-{name}" for name in packages.excludedList}
    without |= {f"-@{group.name}" for group in packages.excludedGroupList}
    return {*packages.packageList, *groups, *environment, *without}


def _zone(profile: Profile) -> tuple[str, bool]:
    return profile.time.zone, True


def _networks(text: str, handler: Any) -> list[tuple[str, str, str]]:
    """Each network line, be it in the file or in %pre."""
    lines = list(handler.network.network) if re.search(r"^network ", text, re.MULTILINE) else []
    if written := re.findall(r"(?<=line=')network [^']*", text):
        lines += parse("\n".join(written), frozenset({"network"})).network.network
    return [(line.hostname, line.device, line.ip) for line in lines]


def _network(node: NodeSection) -> tuple[str, str, str]:
    address = str(ipaddress.IPv4Interface(node.uplink.address).ip)
    return node.name, node.uplink.ports[0], address


@functools.cache
def _alike(text: str) -> Any:
    """The few lines on the disk, the same for most nodes; nobody changes what is returned."""
    return parse(text, frozenset())


def _disk(text: str, profile: Profile) -> list[tuple[str, object, object]]:
    """The partitions that %pre makes, and what it tells Anaconda of them."""
    planned = os_partitions(profile.storage.os_gib)
    made = re.findall(r"^start=\$\(\((\d+) / unit\)\), size=\$\(\((\d+) / unit\)\)", text, re.M)
    lines = re.search(r"<<KICKSTART\n(.*?)^KICKSTART$", text, re.DOTALL | re.MULTILINE)
    append = re.search(r"^append=(.*)$", text, re.MULTILINE)
    if lines is None or append is None:
        raise KickstartError("the kickstart does not tell Anaconda of the disk")
    told = re.sub(r"\$\{at\[(\w+)\]\}", r"\1", lines[1]).replace("$disk", "disk")
    handler = _alike(told.replace("$append", "".join(shlex.split(append[1]))))
    mounts = [(p.onPart, p.mountpoint, p.fstype, p.format) for p in handler.partition.partitions]
    return [
        ("partitions", made, [(str(p.start), str(p.size)) for p in planned]),
        ("file systems", mounts, [(p.name, *_MOUNTS[p.name], True) for p in planned]),
        ("disks", handler.ignoredisk.onlyuse, ["disk"]),
        (
            "kernel arguments",
            handler.bootloader.appendLine,
            " ".join(profile.install.kernel_arguments),
        ),
    ]
