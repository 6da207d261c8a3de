"""dlm.conf: locks over TCP, and how POSIX locks are kept."""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Cluster, Identity

PATH = PurePosixPath("/etc/dlm/dlm.conf")


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """dlm.conf, the same text on both nodes."""
    return (ConfigFile(PATH, _text(identity.pair.cluster)),)


def _text(cluster: Cluster) -> str:
    # Nothing here may keep dlm_controld in the foreground (its debugging does): the resource agent
    # would wait for it until the start times out.
    return f"""\
# Made by ksbuild from the profile; read when dlm_controld starts.

# With two corosync links "detect" may choose SCTP, which the nodes do not load; over TCP the
# locks take the first link, the bond.
protocol=tcp

# A node that alone uses a file's POSIX locks owns them and asks nobody: about eight times faster
# there, unfair where both nodes want them. Not changed while dlm_controld runs.
plock_ownership={int(cluster.plock_ownership)}

# POSIX locks a second, 0 for no limit; while it runs: dlm_tool set_config plock_rate_limit=N
plock_rate_limit={cluster.plock_rate_limit}
"""
