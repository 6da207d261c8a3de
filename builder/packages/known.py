"""Where packages live that an EL9 DVD does not have."""

from fnmatch import fnmatchcase

# HighAvailability and ResilientStorage: RHEL 9 "Configuring and managing high availability
# clusters" and "Configuring GFS2 file systems" (the second repository holds the first one's
# packages, too); ELRepo: https://elrepo.org/wiki/doku.php?id=kmod-drbd9x
_PLACES = (
    ("pacemaker*", "HighAvailability"),
    ("pcs", "HighAvailability"),
    ("pcs-*", "HighAvailability"),
    ("corosync*", "HighAvailability"),
    ("fence-agents-*", "HighAvailability"),
    ("resource-agents*", "HighAvailability"),
    ("sbd", "HighAvailability"),
    ("booth*", "HighAvailability"),
    ("dlm", "ResilientStorage"),
    ("dlm-lib", "ResilientStorage"),
    ("gfs2-utils", "ResilientStorage"),
    ("lvm2-lockd", "ResilientStorage"),
    ("drbd*-utils", "ELRepo"),
    ("kmod-*", "ELRepo"),
)


def home_of(name: str) -> str:
    """Name the repository that has the package, "" when it is not known."""
    return next((place for pattern, place in _PLACES if fnmatchcase(name, pattern)), "")
