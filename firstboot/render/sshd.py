"""sshd: root by key alone, and passwords only where somebody has nothing else."""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

# sshd takes the first value it finds, and the distribution's own files begin at 50.
PATH = PurePosixPath("/etc/ssh/sshd_config.d/00-ksbuild.conf")


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The drop-in."""
    lines = ["PermitRootLogin prohibit-password"]
    if not identity.pair.ssh_passwords:
        lines += ["PasswordAuthentication no", "KbdInteractiveAuthentication no"]
    return (ConfigFile(PATH, "\n".join(lines) + "\n", mode=0o600),)
