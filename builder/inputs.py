"""Files that a profile names beside itself: keys of packages, the registration with Red Hat."""

import re
import tomllib
from pathlib import Path

from builder.errors import InputError
from builder.packages.defaults import DISTRIBUTIONS
from builder.packages.errors import RepositoryError
from builder.packages.openpgp import key_fingerprints
from builder.plan.kickstart import DISTRIBUTION, Key, Registration
from builder.profile.model import Install, Profile, Repository

_CERTIFICATE = re.compile(
    "-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----"
)
_PUT = "put it beside the profile"


def package_keys(folder: Path, profile: Profile) -> tuple[Key, ...]:
    """The files of pinned keys, the distribution's first.

    Paths are relative to `folder`, the profile's own. Raises InputError when a file is missing,
    holds no OpenPGP key, or one that the profile does not pin.
    """
    places: list[tuple[str, Install | Repository]] = [(DISTRIBUTION, profile.install)]
    places += [(repository.name, repository) for repository in profile.install.repositories]
    return tuple(
        _key(folder / place.gpg_key, name, place.gpg_fingerprint)
        for name, place in places
        if place.gpg_key is not None and place.gpg_fingerprint is not None
    )


def _key(path: Path, name: str, pinned: list[str]) -> Key:
    known = [each for one in DISTRIBUTIONS.values() for each in one.repositories]
    fetch = next((f"there: {each.fetch}" for each in known if each.key_file == path.name), _PUT)
    text = _text(path, f"the key of {name}", fetch)
    try:
        found = tuple(fingerprint.upper() for fingerprint in key_fingerprints(text.encode()))
    except RepositoryError as error:
        raise InputError(f"{path}: {error}", error.hint) from None
    # All of them become rpm's and dnf's, so one that nobody compared would be trusted, too.
    if others := [fingerprint for fingerprint in found if fingerprint not in pinned]:
        raise InputError(
            f"{path} holds the key {', '.join(others)}, the profile pins {', '.join(pinned)}",
            "compare the fingerprint with the one the publisher shows on its own pages; "
            "gpg_fingerprint may be a list",
        )
    return Key(name, found, text)


def registration(folder: Path, profile: Profile) -> Registration | None:
    """What `install.registration_file` says; None where the profile names none.

    Raises InputError when it is missing, open to others, or says something else. Never repeats
    what is in it.
    """
    if profile.install.registration_file is None:
        return None
    path = folder / profile.install.registration_file
    text = _text(path, "the registration file")
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path} can be read by others", f"chmod 600 {path}")
    wanted = {"organization", "activation_key"}
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        said = {}
    if set(said) != wanted or not all(isinstance(said[key], str) for key in wanted):
        raise InputError(
            f"{path} does not give just organization and activation_key",
            'two lines: organization = "..." and activation_key = "..."',
        )
    return Registration(said["organization"], said["activation_key"])


def progress_certificate(folder: Path, profile: Profile) -> str | None:
    """The PEM text that `progress.certificate` names; None where the profile names none.

    Raises InputError when it is missing or holds no certificate.
    """
    if profile.progress.certificate is None:
        return None
    return certificates(folder / profile.progress.certificate)


def certificates(path: Path) -> str:
    """The PEM certificates of a file and nothing else of it, such as a private key.

    Raises InputError when it is missing or holds none.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")  # comments are in any language
    except FileNotFoundError:
        raise InputError(f"{path}, the server's certificate, is not there", _PUT) from None
    found = _CERTIFICATE.findall(text)
    if not found:
        raise InputError(f"{path} holds no PEM certificate", _PUT)
    return "\n".join(found) + "\n"


def _text(path: Path, what: str, absent: str = _PUT) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise InputError(f"{path}, {what}, is not there", absent) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}, {what}, is not a text", "export it with gpg --armor") from None
