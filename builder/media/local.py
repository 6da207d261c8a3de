"""Files of this machine that go onto a medium without ever being held in memory."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from builder.media.errors import MediumError

# ECMA-119 9.1.4: a file's size has 32 bits; several extents for one file are not written.
MOST_BYTES = (1 << 32) - 1
_CHUNK = 1024 * 1024
_AGAIN = "let nothing write to it, and build the medium again"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file, and what it was found to hold: bytes, and a checksum of kind `digest` (sha256...)."""

    path: Path
    size: int
    digest: str
    checksum: str

    def check_size(self) -> None:
        """Refuse what one record on a medium cannot describe.

        Raises:
            MediumError: 4 GiB or more.
        """
        if self.size > MOST_BYTES:
            raise MediumError(
                f"{self.path} has {self.size} bytes; a file on a medium has less than 4 GiB",
                "leave it out of the folder and run createrepo_c there again",
            )

    def check(self, stream: BinaryIO, where: str) -> None:
        """Read `stream`, a copy of the file, to its end.

        Raises:
            MediumError: it holds something else.
        """
        digest = hashlib.new(self.digest, usedforsecurity=True)
        size = 0
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if size != self.size or digest.hexdigest() != self.checksum:
            raise MediumError(f"{where} is not what {self.path} was when it was checked", _AGAIN)
