"""Types of single values: what each may look like, checked where it is read."""

import ipaddress
import re
import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

_HOST_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _uuid(value: str) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise ValueError(
            f'not a UUID; every pair has its own, for a new one write "{uuid.uuid4()}"'
        ) from None


def _host_name(value: str) -> str:
    if len(value) > 64 or not all(_HOST_LABEL.fullmatch(label) for label in value.split(".")):
        raise ValueError("not a host name: letters a-z, digits and -, dots between labels, <= 64")
    return value


def _mac(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}", value):
        raise ValueError("not a MAC address: six pairs of hexadecimal digits with colons")
    if int(value[:2], 16) & 1:
        raise ValueError("a multicast address, not that of a port")
    return value.upper()


FILL_IN = "FILL-IN"  # what `ksbuild init` could not know


def _interface(value: str) -> str:
    try:
        interface = ipaddress.IPv4Interface(value)
    except ValueError:
        raise ValueError("not an IPv4 address with prefix, such as 192.168.0.1/22") from None
    if "/" not in value or not 8 <= interface.network.prefixlen <= 30:
        raise ValueError("a prefix of /8 to /30 is needed, such as 192.168.0.1/22")
    network = interface.network
    if interface.ip in (network.network_address, network.broadcast_address):
        raise ValueError(f"the network's own or broadcast address in {network}")
    return str(interface)


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError("not an IPv4 address") from None


def _host(value: str) -> str:
    try:
        return _address(value)
    except ValueError:
        return _host_name(value)


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("a control character or line break is not allowed here")
    if value == FILL_IN:
        raise ValueError("not filled in yet: `ksbuild init` could not know it")
    return value


def _crypt_hash(value: str) -> str:
    # crypt(5): $id$salt$hash; what is not one would be taken for a plain password.
    if not re.fullmatch(r"\$(?:5|6|y|2b)\$[./0-9A-Za-z$=,]{20,}", value):
        raise ValueError("not a password hash; make one with: ksbuild hash-password")
    return value


def _ssh_key(value: str) -> str:
    kinds = r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+)"
    if not re.fullmatch(kinds + r' [A-Za-z0-9+/=]{40,}(?: [^"\\]*)?', _one_line(value)):
        raise ValueError("not an OpenSSH public key line")
    return value


def is_ssh_key(line: str) -> bool:
    """Whether it is what a profile takes for an OpenSSH public key."""
    try:
        _ssh_key(line)
    except ValueError:
        return False
    return True


def _static(value: bool) -> bool:
    if value:
        raise ValueError(
            "the second cluster link runs over the uplink, so its address must be fixed:"
            " give address and gateway"
        )
    return value


def _fingerprint(value: str) -> str:
    plain = value.replace(" ", "").upper()
    if not re.fullmatch(r"[0-9A-F]{40}|[0-9A-F]{64}", plain):
        raise ValueError("not an OpenPGP fingerprint: 40 hexadecimal digits")
    return plain


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _time_zone(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", value):
        raise ValueError("not a time zone such as Europe/Berlin")
    return value


def _ports(value: Any) -> Any:
    """ "auto" as the empty list, which nobody may write."""
    if value == []:
        raise ValueError('no port; give their MACs, or "auto" to have them found')
    return [] if value == "auto" else value


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
PairId = Annotated[str, AfterValidator(_uuid)]
HostName = Annotated[str, AfterValidator(_host_name)]
Host = Annotated[str, AfterValidator(_host)]
Mac = Annotated[str, AfterValidator(_mac)]
CrossoverPorts = Annotated[
    list[Mac],
    Field(max_length=8),
    BeforeValidator(
        _ports,
        json_schema_input_type=Annotated[list[Mac], Field(min_length=1, max_length=8)]
        | Literal["auto"],
    ),
]
Interface = Annotated[str, AfterValidator(_interface)]
Address = Annotated[str, AfterValidator(_address)]
CryptHash = Annotated[str, AfterValidator(_crypt_hash)]
SshKey = Annotated[str, AfterValidator(_ssh_key)]
Static = Annotated[bool, AfterValidator(_static)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Fingerprints = Annotated[
    list[Fingerprint],
    Field(min_length=1, max_length=8),
    BeforeValidator(
        _one_or_more,
        json_schema_input_type=Annotated[list[Fingerprint], Field(min_length=1, max_length=8)]
        | Fingerprint,
    ),
]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Url = Annotated[Text, Field(pattern=r"^(?:https?|file)://[^\s\"'\\@]+$")]
WebUrl = Annotated[Text, Field(pattern=r"^https?://[^\s\"'\\@]+$")]
# A server's own address: a host name, IPv4 or [IPv6] address, and at most a port.
SERVER_URL = r"^https?://(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/?$"
ServerUrl = Annotated[Text, Field(pattern=SERVER_URL)]
# Plain addresses only, RFC 5321's dot-string: what stands in a header needs no quoting then.
MAIL = r"^[A-Za-z0-9_+=/-]+(?:\.[A-Za-z0-9_+=/-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*$"
MailAddress = Annotated[Text, Field(pattern=MAIL, max_length=254)]
# corosync's and GFS2's own limit: the part of the lock table before the colon (mkfs.gfs2(8)).
ClusterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Package = Annotated[str, Field(pattern=r"^[@A-Za-z0-9][A-Za-z0-9_.+:^@-]*$", max_length=128)]
KernelArgument = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:=/@%+-]+$", max_length=200)]
# IFNAMSIZ - 1; what the kernel and udev take for an interface name (systemd.net-naming-scheme(7)).
InterfaceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,14}$")]
Vlan = Annotated[int, Field(ge=1, le=4094)]
UserName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
# storage.wipe: what %pre prints for a disk it refuses.
WipeConsent = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}/[0-9a-f]{16,64}$")]
