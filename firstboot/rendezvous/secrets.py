"""The introduction: a CA and one leaf per node, made by the builder for this pair alone."""

import ssl
from pathlib import Path
from typing import Any, Optional

FOLDER = Path("etc/ksbuild/introduction")

# X509_V_FLAG_NO_CHECK_TIME (openssl x509_vfy.h): new hardware has no clock worth believing.
NO_CHECK_TIME = 0x200000


def server_context(root: Path) -> ssl.SSLContext:
    """TLS 1.3, our leaf shown, a leaf of the same CA demanded."""
    return _context(ssl.PROTOCOL_TLS_SERVER, root)


def client_context(root: Path) -> ssl.SSLContext:
    """The same, for the side that calls. Names are checked by `peer_name`, on both sides alike."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, root)


def peer_name(connection: ssl.SSLSocket) -> Optional[str]:
    """The one node name in the certificate the other side proved to own; None if not just one."""
    certificate: Any = connection.getpeercert()
    names = [value for kind, value in (certificate or {}).get("subjectAltName", ())]
    return names[0] if len(names) == 1 else None


def _context(protocol: int, root: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= NO_CHECK_TIME
    folder = root / FOLDER
    context.load_verify_locations(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(str(folder / "node.crt"), str(folder / "node.key"))
    return context
