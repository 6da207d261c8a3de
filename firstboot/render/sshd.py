"""SSH: root by key alone, passwords only where somebody has nothing else, and the peer known.

The peer's host keys come with the secrets' exchange, so its file is written there.
"""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity
from firstboot.render.hosts import names_of

# sshd takes the first value it finds, and the distribution's own files begin at 50.
PATH = PurePosixPath("/etc/ssh/sshd_config.d/00-ksbuild.conf")
# ssh, too, takes the first value it finds: a domain's own (IPA: 04) goes before ours.
CLIENT = PurePosixPath("/etc/ssh/ssh_config.d/40-ksbuild.conf")
KNOWN_HOSTS = PurePosixPath("/etc/ssh/ksbuild_known_hosts")
USUAL = "/etc/ssh/ssh_known_hosts"  # ssh_config(5): one of its defaults, which ours would replace


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The drop-ins of server and client."""
    lines = ["PermitRootLogin prohibit-password"]
    if not identity.pair.ssh_passwords:
        lines += ["PasswordAuthentication no", "KbdInteractiveAuthentication no"]
    return (
        ConfigFile(PATH, "\n".join(lines) + "\n", mode=0o600),
        ConfigFile(CLIENT, f"GlobalKnownHostsFile {USUAL} {KNOWN_HOSTS}\n"),
    )


def known_hosts(identity: Identity, keys: str) -> ConfigFile:
    """The peer under all its names and addresses; `keys` are its public ones, one a line."""
    names = ",".join(names_of(identity.peer))
    lines = [f"{names} {key}\n" for key in keys.splitlines()]
    return ConfigFile(KNOWN_HOSTS, "".join(lines))
