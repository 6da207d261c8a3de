"""ksmtuned.conf: when equal pages of guests are merged, and how eagerly. Read as shell."""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity, Ksm

PATH = PurePosixPath("/etc/ksmtuned.conf")
UNITS = ("ksm.service", "ksmtuned.service")


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """ksmtuned.conf, or nothing on a platform without it."""
    if not identity.pair.has("ksm"):
        return ()
    return (ConfigFile(PATH, _text(identity.pair.ksm)),)


def _text(ksm: Ksm) -> str:
    """The profile's figures; the article's where the profile has no key."""
    return f"""\
# Made by ksbuild from the profile; read when ksmtuned starts.

# Seconds between looks at the memory.
KSM_MONITOR_INTERVAL={ksm.monitor_interval_s}

# Milliseconds between scans on a node of 16 GiB; more on a smaller one, less on a bigger.
KSM_SLEEP_MSEC={ksm.sleep_ms}

# Merging starts when less than so many percent of the memory are free, or so many KiB.
KSM_THRES_COEF={ksm.threshold_percent}
KSM_THRES_CONST=2048

# Pages a scan: so many more while memory is short, fewer once it is not, within these bounds.
KSM_NPAGES_BOOST=300
KSM_NPAGES_DECAY=-50
KSM_NPAGES_MIN=64
KSM_NPAGES_MAX=1250
"""
