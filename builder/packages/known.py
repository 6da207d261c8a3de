"""Where packages live that an EL9 DVD does not have."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from builder.packages.model import Problem

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


def unread(problems: Iterable[Problem], ids: Iterable[str]) -> list[Problem]:
    """The problems, with what is missing told apart where it lives in one of Red Hat's `ids`.

    Those repositories answer only with the certificate of a system that is registered already.
    """
    ids = list(ids)
    found: list[Problem] = []
    taken: list[str] = []
    for problem in problems:
        homes = (problem.home, "ResilientStorage" if problem.home == "HighAvailability" else "")
        if any(home and home.lower() in id_ for home in homes for id_ in ids):
            taken.append(problem.text.partition(",")[0])
        else:
            found.append(problem)
    if ids:
        found.append(
            Problem(
                "unread",
                f"not looked at, for they answer registered systems alone: {', '.join(ids)}"
                + (f"; taken to be there: {', '.join(taken)}" if taken else ""),
                f"on a registered RHEL 9: dnf repoquery {' '.join(f'--repoid={i}' for i in ids)} "
                + " ".join(taken or ["pacemaker"]),
            )
        )
    return found
