"""The text of a new profile, from answers and from what "Describe this server" wrote."""

import json
import tomllib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from builder.packages.defaults import Distribution, KnownRepository, subscribed_line

FILL_IN = "FILL-IN"
REGISTRATION = "registration.toml"


@dataclass(frozen=True, slots=True)
class Server:
    """One server's hardware, as far as it is known; MACs in the order of its ports."""

    serial: str = FILL_IN
    uplink: str = FILL_IN
    crossover: tuple[str, ...] = (FILL_IN,)
    disk: str = 'serial = "FILL-IN"'
    bmc: str = FILL_IN
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What only a person knows."""

    pair: str
    names: tuple[str, str]
    addresses: tuple[str, str]
    gateway: str
    ssh_key: str
    distribution: Distribution  # its installation tree is the first repository


def server(description: str) -> Server:
    """A server from its description (TOML). Raises ValueError when it is none.

    The first port with carrier is taken for the uplink and the others with carrier for the
    crossover; the comment lists every port, so that a person can see and mend that.
    """
    data = tomllib.loads(description)
    ports = data.get("port", [])
    if not data.get("server") or not ports:
        raise ValueError("not a description of a server: no [server] or no [[port]]")
    # As sysfs says it: "1" with a link, "0" without, no key at all where the port is down.
    live = [port for port in ports if port.get("carrier") == "1"] or ports
    disks = data.get("disk", [])
    return Server(
        serial=str(data["server"].get("serial") or FILL_IN),
        uplink=live[0]["mac"],
        crossover=tuple(port["mac"] for port in live[1:]) or (FILL_IN,),
        disk=_disk(disks[0]) if len(disks) == 1 else 'serial = "FILL-IN"',
        bmc=str(data.get("bmc", {}).get("address") or FILL_IN),
        comment="".join(_comment(port) for port in ports) + "".join(_comment(d) for d in disks),
    )


def text(answers: Answers, servers: Sequence[Server]) -> str:
    """The profile; what is not known stands there as FILL-IN, which `validate` finds."""
    blocks = [
        f"""\
[pair]
name = {_quoted(answers.pair)}
id = "{uuid.uuid4()}"     # this pair's own; never change it while the pair lives

{_install(answers.distribution)}
[access]
ssh_keys = [{_quoted(answers.ssh_key)}]
"""
    ]
    for number, found in enumerate(servers):
        blocks.append(_node(answers, number, found))
    return "\n".join(blocks)


def beside(answers: Answers) -> list[str]:
    """What to put beside the profile, each as a command to type or in words."""
    distribution = answers.distribution
    commands = [known.fetch for known in (distribution.repositories[0], *distribution.open)]
    if distribution.subscription:
        commands.append(f"put organization and activation_key into {REGISTRATION}, chmod 600")
    return list(dict.fromkeys(commands))


def _install(distribution: Distribution) -> str:
    """Every key pinned that is known; %post then wants all packages signed by one of them."""
    tree = distribution.repositories[0]
    others = distribution.open if distribution.subscription else distribution.open[1:]
    names = ("HighAvailability", "ResilientStorage") if distribution.subscription else ()
    if distribution.subscription:
        first = (
            f'registration_file = "{REGISTRATION}"    # organization = ..., activation_key = ...'
        )
    else:
        first = f"url = {_quoted(tree.url)}"
    rows = "".join(f"    {subscribed_line(name)},\n" for name in names)
    rows += "".join(f"    {_repository(each, tree)},\n" for each in others)
    return f"""\
[install]
{first}
gpg_key = {_quoted(tree.key_file)}    # {tree.fetch}
gpg_fingerprint = {_pins(tree)}
repositories = [
{rows}]
"""


def _repository(known: KnownRepository, tree: KnownRepository) -> str:
    pairs = {"name": _quoted(known.name), "url": _quoted(known.url)}
    if known.keys != tree.keys:
        pairs |= {"gpg_key": _quoted(known.key_file), "gpg_fingerprint": _pins(known)}
    return "{ " + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + " }"


def _pins(known: KnownRepository) -> str:
    pins = [_quoted(fingerprint) for fingerprint in known.fingerprints]
    return pins[0] if len(pins) == 1 else f"[{', '.join(pins)}]"


def _node(answers: Answers, number: int, found: Server) -> str:
    crossover = ", ".join(_quoted(mac) for mac in found.crossover)
    return f"""\
{found.comment}[[node]]
name = {_quoted(answers.names[number])}
serial = {_quoted(found.serial)}
disk = {{ {found.disk} }}

[node.uplink]
ports = [{_quoted(found.uplink)}]
address = {_quoted(answers.addresses[number])}
gateway = {_quoted(answers.gateway)}

[node.crossover]
address = "192.168.40.{number + 1}/24"
ports = [{crossover}]

[[node.fencing]]
agent = "ipmilan"
address = {_quoted(found.bmc)}
"""


def _disk(disk: dict[str, Any]) -> str:
    for key in ("serial", "wwn"):
        if disk.get(key):
            return f"{key} = {_quoted(disk[key])}"
    size = int(disk["size_gib"])
    return f"size_gib = [{size}, {size + 1}]"


def _comment(thing: dict[str, Any]) -> str:
    said = ", ".join(f"{key} {value}" for key, value in thing.items())
    return "# " + said.translate(dict.fromkeys((*range(32), 127), " ")) + "\n"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
