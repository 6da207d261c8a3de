"""Where each Enterprise Linux 9 keeps its packages, and which keys sign them.

Fingerprints: computed from the key files in distribution-gpg-keys (github.com/rpm-software-
management/distribution-gpg-keys, August 2026), which mock uses to check the same repositories.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """Where a file of keys is, and the fingerprints that may be in it: anything else is refused."""

    url: str
    fingerprints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnownRepository:
    """A repository for x86_64: name as users know it, baseurl, keys its packages are signed by."""

    name: str
    url: str
    keys: tuple[Key, ...]

    @property
    def key_file(self) -> str:
        """What init calls the file with its keys."""
        return self.keys[0].url.rpartition("/")[2]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """What may be in that file."""
        return tuple(fingerprint for key in self.keys for fingerprint in key.fingerprints)

    @property
    def fetch(self) -> str:
        """The command that makes that file."""
        return f"curl -f {' '.join(key.url for key in self.keys)} > {self.key_file}"


@dataclass(frozen=True, slots=True)
class Distribution:
    """`family` is what .treeinfo and .discinfo begin with; `subscription`: needs registration."""

    family: str
    repositories: tuple[KnownRepository, ...]
    subscription: bool = False

    @property
    def open(self) -> tuple[KnownRepository, ...]:
        """The repositories that answer everybody."""
        return (ELREPO,) if self.subscription else self.repositories


_NAMES = ("BaseOS", "AppStream", "HighAvailability", "ResilientStorage")


def _at(urls: dict[str, str], key: Key) -> tuple[KnownRepository, ...]:
    return tuple(KnownRepository(name, url, (key,)) for name, url in urls.items())


# almalinux-release: /etc/yum.repos.d/almalinux-baseos.repo and its siblings, the "baseurl" lines.
_ALMA = _at(
    {name: f"https://repo.almalinux.org/almalinux/9/{name}/x86_64/os/" for name in _NAMES},
    Key(
        "https://repo.almalinux.org/almalinux/RPM-GPG-KEY-AlmaLinux-9",
        ("BF18AC2876178908D6E71267D36CB86CB86B3716",),
    ),
)

# rocky-repos: /etc/yum.repos.d/rocky.repo and rocky-addons.repo, the "baseurl" lines, where
# $contentdir is pub/rocky; over https, which dl.rockylinux.org offers as well.
_ROCKY = _at(
    {name: f"https://dl.rockylinux.org/pub/rocky/9/{name}/x86_64/os/" for name in _NAMES},
    Key(
        "https://dl.rockylinux.org/pub/rocky/RPM-GPG-KEY-Rocky-9",
        ("21CB256AE16FC54C6E652949702D426D350D275D",),
    ),
)

# centos-stream-repos: /etc/yum.repos.d/centos.repo and centos-addons.repo; their "metalink" lines
# lead to mirrors of this host, which their commented "baseurl" lines name.
_STREAM = _at(
    {name: f"https://mirror.stream.centos.org/9-stream/{name}/x86_64/os/" for name in _NAMES},
    Key(
        "https://www.centos.org/keys/RPM-GPG-KEY-CentOS-Official",
        ("99DB70FAE1D7CE227FB6488205B555B38483C65D",),
    ),
)

# /etc/yum.repos.d/redhat.repo as subscription-manager writes it: rhel-9-for-x86_64-baseos-rpms,
# -appstream-rpms, -highavailability-rpms, -resilientstorage-rpms. Client certificates needed.
_RHEL = _at(
    {n: f"https://cdn.redhat.com/content/dist/rhel9/9/x86_64/{n.lower()}/os/" for n in _NAMES},
    Key(
        # https://access.redhat.com/security/team/key: release key 2 is in this file; the DVD's
        # RPM-GPG-KEY-redhat-release also has auxiliary key 3.
        "https://www.redhat.com/security/data/fd431d51.txt",
        (
            "567E347AD0044ADE55BA8A5F199E2F91FD431D51",
            "7E4624258C406535D56D6F135054E4A45A6340B3",
        ),
    ),
)

# elrepo-release 9.5 (github.com/elrepo/packages): elrepo.repo, first "baseurl", over https, and its
# two keys. distribution-gpg-keys has neither; the fingerprints are what elrepo.org publishes and
# dnf shows when it imports them.
ELREPO = KnownRepository(
    "ELRepo",
    "https://elrepo.org/linux/elrepo/el9/x86_64/",
    (
        Key(
            "https://www.elrepo.org/RPM-GPG-KEY-elrepo.org",
            ("96C0104F631547311E0BB1AE309BC305BAADAE52",),
        ),
        Key(
            "https://www.elrepo.org/RPM-GPG-KEY-v2-elrepo.org",
            ("B8A755874DA240C9DAC4E71551600989EAA31D4A",),
        ),
    ),
)

DISTRIBUTIONS = {
    "alma": Distribution("AlmaLinux", (*_ALMA, ELREPO)),
    "rocky": Distribution("Rocky Linux", (*_ROCKY, ELREPO)),
    "rhel": Distribution("Red Hat Enterprise Linux", (*_RHEL, ELREPO), subscription=True),
    "centos-stream": Distribution("CentOS Stream", (*_STREAM, ELREPO)),
}


def subscribed_line(name: str) -> str:
    """A line of install.repositories for a repository of RHEL 9, which a registration brings."""
    return f'{{ name = "rhel-9-for-x86_64-{name.lower()}-rpms" }}'


def profile_line(release: str, name: str) -> str:
    """A line of install.repositories for the repository `name` of a source's distribution.

    Args:
        release: `Source.release` ("AlmaLinux 9.6").
        name: as `Problem.home` has it.

    Returns:
        TOML; "" where the distribution or its repository is unknown.
    """
    for distribution in DISTRIBUTIONS.values():
        if release.startswith(distribution.family):
            for known in distribution.repositories:
                if known.name == name:
                    if known in distribution.open:
                        return f'{{ name = "{known.name}", url = "{known.url}" }}'
                    return subscribed_line(name)
    return ""
