"""Read an Enterprise Linux 9 installation ISO, or the demonstration source that has its shape."""

import configparser
import contextlib
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException, PyCdlibInvalidInput

from builder.media.errors import RefusedError, SourceError
from builder.media.iso9660 import Streamed
from builder.media.outline import outline

DEMONSTRATION = "ksbuild-demonstration"
MANIFEST = "ksbuild.json"
REQUIRED = (
    "isolinux/isolinux.bin",
    "isolinux/ldlinux.c32",
    "isolinux/libcom32.c32",
    "isolinux/libutil.c32",
    "isolinux/vesamenu.c32",
    "EFI/BOOT/BOOTX64.EFI",
    "EFI/BOOT/grubx64.efi",
    "EFI/BOOT/grub.cfg",
    "images/pxeboot/vmlinuz",
    "images/pxeboot/initrd.img",
)
_USE_EL9 = "use an Enterprise Linux 9 x86_64 DVD or boot ISO (AlmaLinux, Rocky, RHEL), unmodified"
_AGAIN = "download it again and compare its checksum"
_BLOCK = 2048
# What pycdlib lets through when the bytes are not what the structures promise.
_PARSER_ERRORS = (PyCdlibException, struct.error, ValueError, LookupError, TypeError, EOFError)


class Source:
    """An opened and checked source ISO; made by `open_source`."""

    def __init__(self, path: Path, iso: PyCdlib, closing: contextlib.ExitStack) -> None:
        self._path = path
        self._iso = iso
        self._closing = closing
        self.volume_id = iso.pvd.volume_identifier.decode("ascii", "replace").strip()
        self.release, self.version, self.architecture = "", "", ""
        self.demonstration = False
        self._read_identity()
        self._check_identity()
        if missing := [name for name in REQUIRED if not self.has(name)]:
            raise SourceError(f"{path} has no {', '.join(missing)}", _USE_EL9)
        config = self.read("EFI/BOOT/grub.cfg").decode("utf-8", "replace")
        self._names_kickstart = re.search(r"\binst\.ks\b|\bks=", config) is not None
        # EL9's GRUB only checks signatures behind `linuxefi`; upstream's may not know the word.
        efi = re.search(r"^\s*linuxefi\s", config, re.MULTILINE)
        self.grub_linux = "linuxefi" if efi else "linux"
        self.grub_initrd = "initrdefi" if efi else "initrd"

    def refuse_customised(self) -> None:
        """Refuse a source that installs something already: whose kickstart would it be then?

        Anaconda looks at no OEMDRV volume where the boot line names a kickstart.

        Raises:
            RefusedError: says what gives it away.
        """
        if self.has(MANIFEST):
            raise customised(f"{self._path} has {MANIFEST}: ksbuild made it from another")
        if self._names_kickstart:
            raise customised(f"{self._path} is customised: its boot menu names a kickstart")

    def has(self, path: str) -> bool:
        """Tell whether there is a file `path` ("images/pxeboot/vmlinuz")."""
        try:
            return bool(self._iso.get_record(rr_path=f"/{path}").is_file())
        except PyCdlibInvalidInput:
            return False
        except _PARSER_ERRORS as error:
            self._unreadable(path, error)

    def read(self, path: str) -> bytes:
        """Return the content of a file that fits into memory.

        Raises:
            SourceError: no such file, or it cannot be read.
        """
        part = self.stream(path)
        content = part.stream.read()
        if len(content) != part.length:
            self._unreadable(path, EOFError(f"{len(content)} of {part.length} bytes"))
        return content

    def stream(self, path: str) -> Streamed:
        """Open a file for copying; it stays open as long as the source does.

        Raises:
            SourceError: no such file, or it cannot be read.
        """
        try:
            opened = self._iso.open_file_from_iso(rr_path=f"/{path}")
            stream = cast(BinaryIO, self._closing.enter_context(opened))
            return Streamed(stream, opened.length())
        except _PARSER_ERRORS as error:
            self._unreadable(path, error)

    def _unreadable(self, path: str, error: Exception) -> NoReturn:
        why = str(error).partition("\n")[0]
        raise SourceError(f"{self._path}: {path} cannot be read ({why})", _AGAIN) from error

    def _read_identity(self) -> None:
        """Fill in release, version and architecture.

        `.treeinfo` is what pungi puts on a DVD; lorax' boot ISO has only `.discinfo`, three lines:
        time, release, architecture (pylorax/discinfo.py).
        """
        if self.has(".treeinfo"):
            self._read_treeinfo()
        elif self.has(".discinfo"):
            lines = self.read(".discinfo").decode("utf-8", "replace").splitlines() + [""] * 3
            self.release, self.architecture = lines[1].strip(), lines[2].strip()
            number = re.search(r"\d+(\.\d+)*", self.release)
            self.version = number[0] if number else ""
        else:
            raise SourceError(f"{self._path} has neither .treeinfo nor .discinfo", _USE_EL9)

    def _read_treeinfo(self) -> None:
        info = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            info.read_string(self.read(".treeinfo").decode("utf-8", "replace"))
        except configparser.Error as error:
            self._unreadable(".treeinfo", error)
        family = info.get("general", "family", fallback="")
        self.version = info.get("general", "version", fallback="")
        self.architecture = info.get("general", "arch", fallback="")
        self.release = f"{family} {self.version}".strip()
        self.demonstration = family == DEMONSTRATION

    def _check_identity(self) -> None:
        if self.architecture != "x86_64":
            raise SourceError(
                f"{self._path} is for {self.architecture or 'an unknown architecture'}, not x86_64",
                _USE_EL9,
            )
        major = self.version.split(".")[0]
        if not self.demonstration and major != "9":
            found = f"{self._path} is {self.release or 'of unknown release'}"
            # Fedora 10 is long gone; whatever else is a 10 dropped the Resilient Storage add-on.
            why = ": there is no GFS2 in Enterprise Linux 10" if major == "10" else ""
            raise SourceError(f"{found}, not Enterprise Linux 9{why}", _USE_EL9)


def customised(what: str) -> RefusedError:
    """The refusal of a source that is not the distribution's own."""
    return RefusedError(what, "use the distribution's own ISO, or add --force")


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open and check a source ISO.

    Raises:
        SourceError: it is not there, not an ISO, cut short, for another architecture or release,
            or lacks a file that booting needs; the message names which.
    """
    with contextlib.ExitStack() as closing:
        try:
            if path.is_dir():
                raise SourceError(f"{path} is a folder, not an ISO file", _USE_EL9)
            file = closing.enter_context(path.open("rb"))
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}", "check the path of --source") from error
        yield Source(path, _parse(path, file, closing), closing)


def _parse(path: Path, file: BinaryIO, closing: contextlib.ExitStack) -> PyCdlib:
    check_whole(path, file)
    iso = PyCdlib()
    try:
        iso.open_fp(outline(file))
    except _PARSER_ERRORS as error:
        raise SourceError(f"{path} is not an ISO 9660 image ({error})", _AGAIN) from error
    closing.callback(iso.close)
    if not iso.has_rock_ridge():
        raise SourceError(f"{path} has no Rock Ridge names", _USE_EL9)
    return iso


def check_whole(path: Path, file: BinaryIO) -> None:
    """Refuse an image shorter than its volume, before a parser meets the end and says what it saw.

    Not an image at all is for the parser to say. Offsets: ECMA-119, 8.4. Raises SourceError.
    """
    file.seek(16 * _BLOCK)
    descriptor = file.read(_BLOCK)
    if descriptor[1:6] != b"CD001":
        return
    promised = int.from_bytes(descriptor[80:84], "little") * _BLOCK
    there = os.fstat(file.fileno()).st_size
    if there < promised:
        raise SourceError(f"{path} is cut short: {there} of {promised} bytes", _AGAIN)
