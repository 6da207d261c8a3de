"""Lists of checksums as distributions publish them."""

import re


def checksum_of(text: str, name: str) -> str | None:
    """Find a file's SHA-256 in a CHECKSUM file, as BSD's or GNU's tools write it."""
    bsd = re.compile(rf"SHA256 \({re.escape(name)}\) = ([0-9a-fA-F]{{64}})\s*")
    gnu = re.compile(rf"([0-9a-fA-F]{{64}}) [ *](?:\./)?{re.escape(name)}\s*")
    for line in text.splitlines():
        if match := bsd.fullmatch(line) or gnu.fullmatch(line):
            return match[1].lower()
    return None
