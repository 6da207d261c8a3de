"""Names for new records, as their neighbours in a tree have them, and the order they stand in."""

import re
from dataclasses import dataclass

from builder.media.errors import MediumError
from builder.media.patch.records import PARENT, SELF, Record
from builder.media.patch.refusal import damaged

# Joliet 1.0: 64 characters. Rock Ridge would allow 255, but then one record does not hold it.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
# Packages have '+', '~' and '^'; Joliet 1.0 forbids * / : ; ? and \. 101 are what a Joliet record
# of 255 bytes holds, version included (mkisofs(8), -joliet-long).
_INNER = re.compile(r"(?!\.\.?$)[^\x00-\x1f*/:;?\\\x7f-\U0010ffff]{1,101}")
_VERSION = ";1"
_LONGEST_ISO = 30


def check_name(name: str) -> None:
    """Refuse names that cannot stand in both kinds of tree without being changed.

    Raises:
        MediumError: with the rule.
    """
    if not _NAME.fullmatch(name):
        raise MediumError(
            f"{name!r} cannot be added to the root folder",
            "names have 1 to 64 letters, digits, '_', '-' or '.', and no '.' at the beginning",
        )


def check_inner_name(name: str, path: str) -> None:
    """Likewise for a name inside an added folder; `path` is where it stands.

    Raises:
        MediumError: with the rule.
    """
    if not _INNER.fullmatch(name):
        raise MediumError(
            f"{path!r} cannot be on a medium",
            "names have 1 to 101 characters of ASCII without * / : ; ? and \\",
        )


def order(joliet: bool, identifier: bytes) -> tuple[str, str, int]:
    """The sort key of 9.3: name, then extension, then versions falling."""
    text = identifier.decode("utf-16-be" if joliet else "latin-1", "replace")
    body, _, version = text.partition(";")
    stem, _, extension = body.partition(".")
    return stem, extension, -int(version) if version.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Style:
    """How a tree names its files.

    xorriso follows ECMA-119 7.5.1 in the primary tree; `genisoimage -U` leaves names alone, up to
    31 characters and without a version. Joliet keeps them and may or may not have versions.
    """

    joliet: bool
    versions: bool
    untranslated: bool

    @staticmethod
    def of(joliet: bool, records: list[Record]) -> "Style":
        """The style of a root folder's records."""
        plain = [r.identifier for r in records if r.identifier not in (SELF, PARENT)]
        end = _VERSION.encode("utf-16-be" if joliet else "ascii")
        versioned = any(known.endswith(end) for known in plain)
        untranslated = not joliet and any(known != known.upper() for known in plain)
        versions = versioned if joliet else versioned or not untranslated
        return Style(joliet, versions, untranslated)

    def identifier(self, name: str, taken: set[bytes], *, folder: bool = False) -> bytes:
        """An identifier for `name` that is none of `taken`, and joins them (in upper case)."""
        version = _VERSION if self.versions and not folder else ""
        if self.joliet:
            found = (name + version).encode("utf-16-be")
        else:
            found = self._primary(name, version, taken, folder)
        taken.add(found.upper())
        return found

    def _primary(self, name: str, version: str, taken: set[bytes], folder: bool) -> bytes:
        stem, dot, extension = ("", "", "") if folder else name.rpartition(".")
        if not dot:
            stem, extension = name, ""
        if not self.untranslated:
            stem, extension = (re.sub(r"[^A-Z0-9_]", "_", s.upper()) for s in (stem, extension))
            dot = "" if folder else "."
        extension = extension[:8]
        for number in range(len(taken) + 1):
            suffix = f"_{number}" if number else ""
            kept = stem[: _LONGEST_ISO - len(extension) - len(suffix)]
            candidate = f"{kept}{suffix}{dot}{extension}{version}".encode("ascii")
            if candidate.upper() not in taken:
                return candidate
        raise damaged("its root folder names files twice")
