"""An initrd that makes the installer believe the server's certificate, and no other. Pure.

dracut asks with curl, which on EL9 believes what is in one file (curl.spec, --with-ca-bundle); its
url-lib module takes that file into the initrd. The kernel unpacks what is loaded behind it over it,
also where a link stood (init/initramfs.c, clean_path); an archive has to begin at a multiple of
four bytes, and lorax' initrd ends at one, as every xz file does. The installer's own image, which
comes next, has a file of its own.
"""

import stat

from builder.demo.cpio import Entry, archive, folder

BUNDLE = "etc/pki/tls/certs/ca-bundle.crt"
PATH = "trust.cpio"


def initrd(*certificates: str) -> bytes:
    """The archive with these certificates (PEM, any number in each)."""
    parts = BUNDLE.split("/")[:-1]
    folders = [folder("/".join(parts[: n + 1])) for n in range(len(parts))]
    text = "".join(f"{each.strip()}\n" for each in certificates)
    return archive([*folders, Entry(BUNDLE, stat.S_IFREG | 0o644, text.encode())], 0)
