"""Sections of the profile for what runs on the installed pair."""

from typing import Annotated, Literal

from pydantic import Field

from builder.profile.strict import Strict
from builder.profile.values import Address, Host, MailAddress, ServerUrl, Text, TimeZone


class Time(Strict):
    """The nodes' clocks."""

    zone: TimeZone = "Etc/UTC"
    """Time zone; the hardware clock runs in UTC."""
    servers: list[Host] = []
    """NTP servers; without any, the first node serves the second."""


class Progress(Strict):
    """Where the nodes tell how far they are, while they install and at their first boot."""

    url: ServerUrl | None = None
    """`https://HOST:PORT` of `ksbuild serve`, as the nodes reach it."""
    certificate: Text | None = None
    """For https: file beside the profile with the certificate the server's must come from."""


class Alerts(Strict):
    """Whom each node tells what befalls the pair in its life, besides the page of [progress]."""

    mail_to: list[MailAddress] = []
    """Mail addresses."""
    mail_from: MailAddress | None = None
    """The sender, as the relay takes it."""
    relay: Host | None = None
    """Mail server that takes it from the nodes without a login."""
    relay_port: Annotated[int, Field(ge=1, le=65535)] = 25
    """Its TCP port."""
    webhook_file: Text | None = None
    """0600 file on each node whose first line is a URL; it may hold a token, so it is not here."""


class Drbd(Strict):
    """Replication of the data partition; protocol C and fencing are not negotiable."""

    port: Annotated[int, Field(ge=1024, le=65535)] = 7788
    """TCP port on the bond."""
    resync_mib_s: Annotated[int, Field(ge=1, le=10000)] = 256
    """Most MiB/s a resync may take (c-max-rate), as the article's syncer rate."""
    verify: Literal["crc32c", "sha1", "sha256"] = "crc32c"
    """Checksum of an online verify."""


class Gfs2(Strict):
    """The shared file system."""

    journal_mib: Annotated[int, Field(ge=8, le=1024)] = 128
    """MiB of each of the two journals."""
    mount: Literal["/srv/vmdata"] = "/srv/vmdata"
    """Where both nodes mount it."""


class Cluster(Strict):
    """corosync and dlm."""

    token_ms: Annotated[int, Field(ge=1000, le=60000)] = 5000
    """Milliseconds without a token after which a node counts as lost."""
    timeout_factor: Annotated[int, Field(ge=1, le=20)] = 1
    """Multiplies the time that starting, stopping or watching a resource, or an alert, may take."""
    plock_rate_limit: Annotated[int, Field(ge=0, le=10000)] = 0
    """POSIX locks a second and node, 0 for no limit, as the article sets it."""
    plock_ownership: bool = True
    """A node may own a lock it uses alone, as the article sets it."""
    fence_delay_s: Annotated[int, Field(ge=1, le=60)] = 10
    """Seconds by which the first node survives a duel: its fence device waits that long."""


class SetAddress(Strict):
    """The BMC's network, where the node gives its own BMC its address, by in-band IPMI."""

    prefix: Annotated[int, Field(ge=8, le=30)]
    """Network bits of the BMC's address."""
    gateway: Address | None = None
    """The BMC's way out; without one the BMC keeps what it has."""


class FenceDevice(Strict):
    """One way to cut a node's power."""

    level: Annotated[int, Field(ge=1, le=9)] = 1
    """Devices of a lower level are tried first."""
    agent: Literal["ipmilan", "ilo4", "ilo5", "redfish", "custom"]
    """Kind of device; custom runs a command of yours with the fence agent API."""
    address: Host | None = None
    """Address of the BMC, reached over the uplink."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Its UDP or TCP port; without it the one every such BMC has."""
    user: Text = "ksfence"
    """Account the pair uses there; it makes it itself where the BMC allows."""
    password_file: Text | None = None
    """0600 file on the node with the account's password, where the pair can't make one."""
    command: Text | None = None
    """For custom: the fence agent, /usr/sbin/fence_NAME on both nodes; its plug is a node name."""
    set_address: SetAddress | None = None
    """Given, the node sets the BMC's address itself."""


class Ksm(Strict):
    """Sharing of equal memory pages between guests."""

    enabled: bool = True
    """Run ksm and ksmtuned."""
    monitor_interval_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds between looks at the memory."""
    threshold_percent: Annotated[int, Field(ge=1, le=100)] = 20
    """Share of memory free below which merging starts (KSM_THRES_COEF)."""
    sleep_ms: Annotated[int, Field(ge=1, le=10000)] = 10
    """Milliseconds between scans on a node of 16 GiB (KSM_SLEEP_MSEC)."""


class Guests(Strict):
    """Limits for the virtual machines."""

    dirty_mib: Annotated[int, Field(ge=16, le=65536)] = 256
    """MiB of unwritten data at which writers wait (vm.dirty_bytes): short stalls, not long ones."""
    migrations: Annotated[int, Field(ge=1, le=10)] = 2
    """Live migrations at the same time."""
