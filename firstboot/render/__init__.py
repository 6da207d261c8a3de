"""Pair and role in, configuration files out: pure, one module per program configured.

The builder renders the same files for previews and tests that the agent writes and compares.
"""

from firstboot.configfile import ConfigFile
from firstboot.node import Identity
from firstboot.render import firewalld, networkmanager


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """Every file the agent keeps on this node, in a fixed order."""
    return (*networkmanager.render(identity), *firewalld.render(identity))
